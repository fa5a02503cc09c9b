"""Classes for crops of photographs, which have none of their own: a classifier of them has features to compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iddpm.data.dataset import Indices
from iddpm.data.sources.photos import Crops

BANDS = 4
"""Vertical bands of equal width that a photograph is divided into."""


class Places(Crops):
    """Crops whose class is the photograph that they are from, and the vertical band of it."""

    def __init__(self, crops: Crops) -> None:
        photograph, _, column = crops.corners.T
        self._labels = (photograph * BANDS + column * BANDS // (column.max() + 1)).astype(np.int64)
        names = tuple(f"place {label}" for label in range(int(self._labels.max()) + 1))
        super().__init__(crops.spec.model_copy(update={"class_names": names}), crops.pictures, crops.corners)

    def labels(self, rows: Indices) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self._labels[rows]
        return labels
