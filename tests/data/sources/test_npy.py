from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.making import opened


@pytest.mark.parametrize(
    ("shape", "dimensions", "channels_first", "expected"),
    [
        ((5, 16), 1, False, (1, 16)),
        ((5, 16, 2), 1, False, (2, 16)),
        ((5, 2, 16), 1, True, (2, 16)),
        ((5, 4, 8, 8), 3, False, (1, 4, 8, 8)),
        ((5, 4, 8, 8, 2), 3, False, (2, 4, 8, 8)),
        ((5, 8, 8), 2, False, (1, 8, 8)),
    ],
)
def test_arrays_of_any_dimension(
    tmp_path: Path, shape: tuple[int, ...], dimensions: int, channels_first: bool, expected: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, dtype=np.uint8))
    splits = opened(f"npy:{tmp_path}/a.npy", dimensions=dimensions, channels_first=channels_first)
    assert splits.spec.shape == expected
    assert splits.validation is not None
    assert len(splits.validation) == 1
