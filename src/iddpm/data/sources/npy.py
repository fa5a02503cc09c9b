"""An array of items in an .npy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iddpm.config import DataConfig
from iddpm.data.arrays import array_dataset, read
from iddpm.data.dataset import Splits, split
from iddpm.data.sources.source import Source
from iddpm.progress import Work, ready


class Npy(Source):
    """An .npy file of items, memory-mapped where it lies."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        items = read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        return ready(split(array_dataset(config, path, items, None), config.validation))
