from __future__ import annotations

import numpy as np
import pytest

from iddpm.data import quantize, scale


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_scaling_and_rounding_are_inverse(levels: int) -> None:
    items = np.arange(levels).astype(np.uint8 if levels <= 256 else np.uint16)
    x = scale(items, levels)
    assert x.min() == -1
    assert x.max() == pytest.approx(1)
    assert np.array_equal(quantize(x, levels), items)
    assert np.array_equal(quantize(x + 0.49 * 2 / (levels - 1), levels), items)  # rounded, not truncated
    assert np.array_equal(quantize(x - 0.49 * 2 / (levels - 1), levels), items)
