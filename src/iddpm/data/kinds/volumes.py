"""Volumes: items of three dimensions, depth, height and width."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iddpm.data.kinds.kind import Kind
from iddpm.data.kinds.pictures import Pictures
from iddpm.data.scaling import Levels


class Volumes(Kind):
    """Volumes, of which the middle slice is shown."""

    can_mirror = True

    def shown(self, items: Levels, levels: int) -> NDArray[np.uint8]:
        return Pictures().shown(items[:, :, items.shape[2] // 2], levels)
