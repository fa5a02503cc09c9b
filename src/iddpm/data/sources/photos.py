"""Crops of the two photographs that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.dataset import Dataset, Indices, Splits
from iddpm.data.scaling import Levels
from iddpm.data.sources.source import Source
from iddpm.errors import UserError
from iddpm.progress import Work, ready


class Crops(Dataset):
    """Crops of a few pictures, which are cut out when they are asked for: item i is the one at the i-th corner.

    corners: picture, row and column, `[count, 3]`.
    """

    def __init__(self, spec: DatasetSpec, pictures: list[Levels], corners: Indices) -> None:
        self.spec = spec
        self.pictures = pictures
        self.corners = corners

    def __len__(self) -> int:
        return len(self.corners)

    def items(self, rows: Indices) -> Levels:
        height, width = self.spec.size
        crops = [
            self.pictures[picture][:, row : row + height, column : column + width]
            for picture, row, column in self.corners[rows].tolist()
        ]
        return np.stack(crops)


class Photos(Source):
    """Crops of two photographs (427x640, RGB): at any place to train on, at the places of a grid held out.

    The held-out crops are from the right-hand part of each photograph, which no training crop touches. Their order is
    mixed, and always the same, so that the first ones are of both photographs.
    """

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        from sklearn.datasets import load_sample_images

        pictures = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in load_sample_images().images]
        _, height, width = pictures[0].shape
        border = width - round(width * config.validation)
        rows, columns = config.sides(2) or (32, 32)
        if rows > height or columns > border or (0 < width - border < columns):
            raise UserError(
                f"crops of {rows}x{columns} do not fit into the photographs' {height}x{border} pixels for training and"
                f" {height}x{width - border} held out",
                field="data.size",
                way="use a smaller size or another data.validation",
            )
        spec = DatasetSpec(channels=3, size=(rows, columns), levels=256)
        anywhere = _corners(len(pictures), range(height - rows + 1), range(border - columns + 1))
        grid = _corners(len(pictures), range(0, height - rows + 1, rows), range(border, width - columns + 1, columns))
        mixed = grid[np.random.default_rng(0).permutation(len(grid))]
        held_out = Crops(spec, pictures, mixed) if border < width else None
        return ready(Splits(Crops(spec, pictures, anywhere), held_out))


def _corners(count: int, rows: range, columns: range) -> Indices:
    corners = np.meshgrid(np.arange(count), np.array(rows), np.array(columns), indexing="ij")
    return np.stack([axis.ravel() for axis in corners], axis=1).astype(np.int32)
