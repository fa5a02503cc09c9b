from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from iddpm.errors import UserError
from iddpm.pictures import as_bytes, grid, save_grid


def test_grey_levels_are_spread_over_a_byte() -> None:
    items = np.arange(17, dtype=np.uint8).reshape(1, 1, 1, 17)
    spread = as_bytes(items, 17).ravel()
    assert (spread[0], spread[8], spread[16]) == (0, 128, 255)


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 8, 8), (5, 1, 16), (5, 1, 4, 8, 8), (5, 2, 8, 8)])
def test_items_of_any_kind_can_be_looked_at(shape: tuple[int, ...]) -> None:
    image = grid(np.zeros(shape, dtype=np.uint8), 256)
    assert min(image.size) > 50


def test_small_pictures_are_enlarged_and_have_gutters() -> None:
    items = np.full((4, 1, 8, 8), 16, dtype=np.uint8)
    pixels = np.asarray(grid(items, 17))
    assert pixels.shape == (2 * 48 + 3 * 6, 2 * 48 + 3 * 6)
    assert pixels[0, 0] == 96
    assert pixels[10, 10] == 255


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_grid(tmp_path / "file" / "a.png", torch.zeros(1, 1, 8, 8), 256)
