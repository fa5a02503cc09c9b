"""Handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.dataset import ArrayDataset, Splits, split
from iddpm.data.sources.source import Source
from iddpm.progress import Work, ready


class Digits(Source):
    """1,797 digits of 8x8 pixels in 17 grey levels, with their classes (Alpaydin & Kaynak 1998)."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        from sklearn.datasets import load_digits

        data = load_digits()
        spec = DatasetSpec(channels=1, size=(8, 8), levels=17, class_names=tuple(map(str, range(10))))
        images = data.images.astype(np.uint8)[:, None]
        return ready(split(ArrayDataset(spec, images, data.target.astype(np.int64)), config.validation))
