"""Classes for crops of photographs, which have none of their own: a classifier of them has features to compare."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iddpm.data import Dataset
from iddpm.data.dataset import Indices
from iddpm.data.scaling import Levels
from iddpm.data.scikit import Crops

BANDS = 4
"""Of equal width, from a photograph's left to its right."""


class Places(Dataset):
    """Crops whose class is which photograph they are from, and which vertical band of it."""

    def __init__(self, crops: Crops) -> None:
        self._crops = crops
        which, _, column = crops.corners.T
        self._labels = (which * BANDS + column * BANDS // (column.max() + 1)).astype(np.int64)
        names = tuple(f"place {label}" for label in range(int(self._labels.max()) + 1))
        self.spec = crops.spec.model_copy(update={"class_names": names})

    def __len__(self) -> int:
        return len(self._crops)

    def items(self, indices: Indices) -> Levels:
        return self._crops.items(indices)

    def labels(self, indices: Indices) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self._labels[indices]
        return labels
