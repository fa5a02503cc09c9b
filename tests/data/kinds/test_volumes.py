from __future__ import annotations

import numpy as np

from iddpm.data.kinds.volumes import Volumes


def test_the_middle_slice_is_shown() -> None:
    items = np.arange(5, dtype=np.uint8).reshape(1, 1, 5, 1, 1)
    assert Volumes().shown(items, 5).tolist() == [[[[128]]]]
