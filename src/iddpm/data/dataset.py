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
from iddpm.errors import Setting, UserError

Indices = NDArray[np.integer[Any]]

SPLIT_SEED = 2102_09672
"""The seed of all splits: two runs can only be compared on held-out data if they hold out the same items."""


class Dataset(ABC):
    """Items of one shape with their labels, if there are any.

    One's own needs `spec`, `__len__` and `items`, which may read or make the items when it is called:

        class Waves(Dataset):
            spec = DatasetSpec(channels=1, size=(64,))

            def __len__(self):
                return 1000

            def items(self, rows):
                phases = np.linspace(0, 2 * np.pi, 64) + rows[:, None, None]
                return (127.5 * (1 + np.sin(phases))).astype(np.uint8)
    """

    spec: DatasetSpec

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def items(self, rows: Indices) -> Levels:
        """Return the items at `rows` as grey levels `[batch, channels, *size]`, 0 ... spec.levels - 1."""

    def batch(self, rows: Indices) -> Tensor:
        """Return the items at `rows` as the mathematics takes them: float32 `[batch, channels, *size]` in [-1, 1]."""
        return scale(self.items(rows), self.spec.levels)

    def labels(self, rows: Indices) -> NDArray[np.int64] | None:
        """Return the classes of the items at `rows`, `[batch]`; None for data without classes."""
        return None


class ArrayDataset(Dataset):
    """Items in an array `[items, channels, *size]`, which may be memory-mapped."""

    def __init__(self, spec: DatasetSpec, array: Levels, labels: NDArray[np.int64] | None = None) -> None:
        self.spec = spec
        self._array = array
        self._labels = labels

    def __len__(self) -> int:
        return len(self._array)

    def items(self, rows: Indices) -> Levels:
        return self._array[rows]

    def labels(self, rows: Indices) -> NDArray[np.int64] | None:
        return None if self._labels is None else self._labels[rows]


class Rows(Dataset):
    """Some items of a dataset, by their rows, without copying any."""

    def __init__(self, whole: Dataset, rows: Indices) -> None:
        self.spec = whole.spec
        self._whole = whole
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def items(self, rows: Indices) -> Levels:
        return self._whole.items(self._rows[rows])

    def labels(self, rows: Indices) -> NDArray[np.int64] | None:
        return self._whole.labels(self._rows[rows])


@dataclass(frozen=True)
class Splits:
    """The data to train on and the data held out, which never overlap.

    left_out: a line for every file of the source that could not be used.
    """

    train: Dataset
    validation: Dataset | None
    left_out: tuple[str, ...] = ()

    @property
    def spec(self) -> DatasetSpec:
        """The form of both."""
        return self.train.spec

    def fingerprint(self) -> str:
        """Return a digest of the number of items and of a few of them, which changes when the data does."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            count = 0 if part is None else len(part)
            digest.update(str(count).encode())
            if part is not None:
                rows = np.linspace(0, count - 1, min(count, 64)).astype(np.int64)
                digest.update(np.ascontiguousarray(part.items(rows)).tobytes())
        return digest.hexdigest()[:32]


def split(dataset: Dataset, share: float, left_out: tuple[str, ...] = ()) -> Splits:
    """Hold out `share` of the items, at least one (none for a share of zero), always the same ones."""
    count = len(dataset)
    held_out = max(1, round(count * share)) if share > 0 else 0
    if count - held_out < 1:
        reason = f"{count} item(s) cannot be split into training and held-out data"
        way = ("add some, or use ", Setting("data.validation", 0))
        raise UserError(reason, field="data.validation", value=share, way=way)
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    validation = Rows(dataset, np.sort(order[:held_out])) if held_out else None
    return Splits(Rows(dataset, np.sort(order[held_out:])), validation, left_out)
