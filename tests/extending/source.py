"""A source: pictures of one round blob each, bright or dark, made as they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import Dataset, Splits, split
from iddpm.data.sources import Source
from iddpm.names import SOURCES
from iddpm.progress import Work, ready

COUNT = 200


class Blobs(Dataset):
    """Item i is a function of i: nothing is stored. Classes tell bright blobs from dark ones."""

    def __init__(self, side: int) -> None:
        self.spec = DatasetSpec(channels=1, size=(side, side), class_names=("bright", "dark"))

    def __len__(self) -> int:
        return COUNT

    def items(self, rows: Any) -> Any:
        return np.stack([self._item(int(row)) for row in rows])

    def labels(self, rows: Any) -> Any:
        return np.asarray(rows) % 2

    def _item(self, row: int) -> Any:
        side = self.spec.size[0]
        x, y, radius = np.random.default_rng(row).uniform((0.2, 0.2, 0.1), (0.8, 0.8, 0.4)) * side
        down, across = np.mgrid[:side, :side]
        blob = np.exp(-((down - y) ** 2 + (across - x) ** 2) / radius**2)
        return (255 * (blob if row % 2 == 0 else 1 - blob)).astype(np.uint8)[None]


class BlobSource(Source):
    """Blobs of the side that the configuration asks for, 8 if it does not."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        sides = config.sides(2) or (8, 8)
        return ready(split(Blobs(sides[0]), config.validation))


SOURCES.register("blobs", BlobSource, "round blobs", heeds=("size",))
