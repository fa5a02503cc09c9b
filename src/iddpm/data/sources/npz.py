"""Arrays of items and labels in an .npz file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from iddpm.config import DataConfig
from iddpm.data.cache import Labels, Notes, cached
from iddpm.data.dataset import Splits, split
from iddpm.data.sources.npy import array_dataset, read
from iddpm.data.sources.source import Source
from iddpm.errors import UserError
from iddpm.progress import Work

ITEM_NAMES = ("arr_0", "images", "x", "data")
LABEL_NAMES = ("arr_1", "labels", "y")


class Npz(Source):
    """An .npz file: items in `arr_0` or `images`, labels, if any, in `arr_1` or `labels` (as the authors' samples).

    It is unpacked once into the cache, and memory-mapped from there.
    """

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        items, labels, _ = yield from cached(f"npz:{path.resolve()}", {}, stamp, partial(_unpacking, path))
        return split(array_dataset(config, path, items, labels), config.validation)


def _unpacking(path: Path, folder: Path) -> Work[tuple[Labels, Notes]]:
    yield from ()
    with path.open("rb") as file:  # numpy leaves a file that it cannot read open
        archive = read(path, lambda: np.load(file, allow_pickle=False))
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is a single array", field="data.source", way=f"use npy:{path}")
        item_name = next((name for name in ITEM_NAMES if name in archive.files), None)
        if item_name is None:
            way = "call the items images, and their labels labels"
            raise UserError(f"{path} holds {', '.join(archive.files)}", field="data.source", way=way)
        label_name = next((name for name in LABEL_NAMES if name in archive.files), None)
        np.save(folder / "items.npy", read(path, lambda: archive[item_name]))
        labels = read(path, lambda: archive[label_name]) if label_name else None
    if labels is None:
        return None, {}
    if not np.issubdtype(labels.dtype, np.integer):
        way = "number the classes 0, 1, 2 ... first"
        raise UserError(f"labels in {path} are {labels.dtype}", field="data.source", way=way)
    return labels.astype(np.int64), {}
