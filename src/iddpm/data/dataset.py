"""A dataset: items of one shape, as grey levels, read by the batch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data.scaling import Levels, scale
from iddpm.errors import UserError

Indices = NDArray[np.integer[Any]]

SPLIT_SEED = 2102_09672
"""Splits are the same for ever: who compares two runs on a held-out split must find the same split."""


class Dataset(ABC):
    """Items of one shape with their labels, if there are any."""

    spec: DatasetSpec

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def items(self, indices: Indices) -> Levels:
        """Return the items at `indices` as levels, `[batch, channels, *size]`; they may be decoded now."""

    def batch(self, indices: Indices) -> Tensor:
        """Return the items at `indices` as the numbers that the mathematics works on, float32 in [-1, 1]."""
        return scale(self.items(indices), self.spec.levels)

    def labels(self, indices: Indices) -> NDArray[np.int64] | None:
        """Their labels, `[batch]`; None for data without classes."""
        return None


class ArrayDataset(Dataset):
    """Items that lie in one array `[items, channels, *size]`, which may be memory-mapped; a view of some of them."""

    def __init__(
        self,
        spec: DatasetSpec,
        array: Levels,
        labels: NDArray[np.int64] | None = None,
        rows: Indices | None = None,
    ) -> None:
        self.spec = spec
        self._array = array
        self._labels = labels
        self._rows = np.arange(len(array)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def items(self, indices: Indices) -> Levels:
        items: Levels = self._array[self._rows[indices]]
        return items

    def labels(self, indices: Indices) -> NDArray[np.int64] | None:
        return None if self._labels is None else self._labels[self._rows[indices]]

    def subset(self, rows: Indices) -> ArrayDataset:
        """The items at these positions, without copying any."""
        return ArrayDataset(self.spec, self._array, self._labels, self._rows[rows])


class Rows(Dataset):
    """Some items of a dataset, by their rows, without copying any."""

    def __init__(self, whole: Dataset, rows: Indices) -> None:
        self.spec = whole.spec
        self._whole = whole
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def items(self, indices: Indices) -> Levels:
        return self._whole.items(self._rows[indices])

    def labels(self, indices: Indices) -> NDArray[np.int64] | None:
        return self._whole.labels(self._rows[indices])


@dataclass(frozen=True)
class Splits:
    """The data to train on and the data held out, which never overlap."""

    train: Dataset
    validation: Dataset | None

    @property
    def spec(self) -> DatasetSpec:
        """What both are."""
        return self.train.spec

    def fingerprint(self) -> str:
        """A digest of how many items there are, and of a few of them: it changes when the data does."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            count = 0 if part is None else len(part)
            digest.update(str(count).encode())
            if part is not None:
                rows = np.linspace(0, count - 1, min(count, 64)).astype(np.int64)
                digest.update(np.ascontiguousarray(part.items(rows)).tobytes())
        return digest.hexdigest()[:32]


def split(dataset: ArrayDataset, share: float) -> Splits:
    """Hold out `share` of the items, at least one (none for a share of zero), always the same ones."""
    count = len(dataset)
    held_out = max(1, round(count * share)) if share > 0 else 0
    if count - held_out < 1:
        raise UserError(f"data: {count} item(s) cannot be split into training and validation data; add some")
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    validation = dataset.subset(np.sort(order[:held_out])) if held_out else None
    return Splits(dataset.subset(np.sort(order[held_out:])), validation)
