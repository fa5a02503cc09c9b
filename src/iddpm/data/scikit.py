"""Real data that comes with scikit-learn: handwritten digits, and crops of two photographs."""

from __future__ import annotations

import numpy as np

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.dataset import ArrayDataset, Dataset, Indices, Splits, split
from iddpm.data.scaling import Levels
from iddpm.errors import UserError


def digits(config: DataConfig) -> Splits:
    """1,797 digits of 8x8 pixels in 17 grey levels, with their classes (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits

    fixed = {"size": 8, "channels": 1, "levels": 17, "dimensions": 2}
    if any(getattr(config, field) not in (None, value) for field, value in fixed.items()):
        raise UserError("data: digits are 8x8 pixels, 1 channel and 17 levels; leave data.size and the others out")
    data = load_digits()
    spec = DatasetSpec(channels=1, size=(8, 8), levels=17, class_names=tuple(str(digit) for digit in range(10)))
    images = data.images.astype(np.uint8)[:, None]
    return split(ArrayDataset(spec, images, data.target.astype(np.int64)), config.validation)


class Crops(Dataset):
    """Square crops of a few pictures: item i is the crop at the i-th of the given corners."""

    def __init__(self, spec: DatasetSpec, pictures: list[Levels], corners: Indices) -> None:
        self.spec = spec
        self._pictures = pictures
        self.corners = corners
        """`[count, 3]`: which picture, row, column."""

    def __len__(self) -> int:
        return len(self.corners)

    def items(self, indices: Indices) -> Levels:
        side = self.spec.size[0]
        crops = [
            self._pictures[which][:, row : row + side, column : column + side]
            for which, row, column in self.corners[indices].tolist()
        ]
        return np.stack(crops)


def photos(config: DataConfig) -> Splits:
    """Crops of scikit-learn's two photographs (427x640, RGB): any place to train on, a grid of places held out.

    The held-out crops come from the right-hand part of each photograph, which no training crop touches; they are in a
    mixed order, always the same, so that the first so many of them are of both.
    """
    from sklearn.datasets import load_sample_images

    pictures = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in load_sample_images().images]
    if config.channels == 1 or config.levels not in (None, 256) or config.dimensions != 2:
        raise UserError("data: photos are RGB in 256 levels; leave data.channels and the others out")
    side = config.size or 32
    _, height, width = pictures[0].shape
    border = width - round(width * config.validation)
    held_out = width - border
    if side > min(height, border) or (0 < held_out < side):
        raise UserError(
            f"data.size: crops of {side}x{side} do not fit into the photographs' {height}x{border} pixels for training"
            f" and {height}x{held_out} for validation; use a smaller data.size or another data.validation"
        )
    spec = DatasetSpec(channels=3, size=(side, side), levels=256)
    anywhere = _corners(len(pictures), range(height - side + 1), range(border - side + 1))
    grid = _corners(len(pictures), range(0, height - side + 1, side), range(border, width - side + 1, side))
    mixed = grid[np.random.default_rng(0).permutation(len(grid))]
    return Splits(Crops(spec, pictures, anywhere), Crops(spec, pictures, mixed) if held_out else None)


def _corners(count: int, rows: range, columns: range) -> Indices:
    corners = np.meshgrid(np.arange(count), np.array(rows), np.array(columns), indexing="ij")
    return np.stack([axis.ravel() for axis in corners], axis=1).astype(np.int32)
