from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iddpm.config import DatasetSpec
from iddpm.errors import UserError
from iddpm.pictures import GUTTER, grid, save_grid


def form(items: np.ndarray[Any, Any], levels: int = 256) -> DatasetSpec:
    return DatasetSpec(channels=items.shape[1], size=items.shape[2:], levels=levels)


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 8, 8), (5, 1, 16), (5, 1, 4, 8, 8), (5, 2, 8, 8)])
def test_items_of_any_kind_can_be_looked_at(shape: tuple[int, ...]) -> None:
    items = np.zeros(shape, dtype=np.uint8)
    image = grid(items, form(items))
    width = 16 if len(shape) == 3 else 48  # a curve has a pixel a point
    gutter = GUTTER if len(shape) == 3 else 3 * GUTTER
    assert image.size == (3 * width + 4 * gutter, 2 * 48 + 3 * gutter)
    assert image.mode == ("RGB" if shape[1] == 3 else "L")


def test_small_pictures_are_enlarged_and_have_gutters() -> None:
    items = np.full((4, 1, 8, 8), 16, dtype=np.uint8)
    pixels = np.asarray(grid(items, form(items, 17)))
    assert pixels.shape == (2 * 48 + 3 * 6, 2 * 48 + 3 * 6)
    assert pixels[0, 0] == 96
    assert pixels[10, 10] == 255


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_grid(tmp_path / "file" / "a.png", torch.zeros(1, 1, 8, 8), DatasetSpec(channels=1, size=(8, 8)))
