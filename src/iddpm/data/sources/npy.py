"""An array of integers in an .npy file: items that are quantized already, of any number of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.cache import Labels
from iddpm.data.dataset import ArrayDataset, Splits, split
from iddpm.data.scaling import Levels
from iddpm.data.sources.source import Source
from iddpm.errors import Setting, UserError
from iddpm.files import NOT_SUCH_ARRAYS
from iddpm.progress import Work, ready

MOST_CLASSES = 100_000


class Npy(Source):
    """An .npy file of items, memory-mapped where it lies."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        items = read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        return ready(split(array_dataset(config, path, items, None), config.validation))


def read(path: Path, load: Callable[[], Any]) -> Any:
    """Return what `load` reads of a file of arrays; UserError if it is none."""
    try:
        return load()
    except NOT_SUCH_ARRAYS as error:
        is_objects = any(word in str(error).lower() for word in ("pickle", "objects"))
        reason = "holds Python objects, which are not loaded" if is_objects else "is no array file"
        way = "save plain integers with numpy"
        raise UserError(f"{path} {reason}, or it is damaged", field="data.source", way=way) from None


def array_dataset(config: DataConfig, path: Path, items: NDArray[Any], labels: Labels) -> ArrayDataset:
    """Return the items of an array in a file, with their labels; UserError for one that is no list of grey levels."""
    if not isinstance(items, np.ndarray):
        raise UserError(f"{path} is an archive of arrays", field="data.source", way=f"use npz:{path}")
    if not np.issubdtype(items.dtype, np.integer):
        way = "quantize it to integers 0 ... levels - 1 first"
        raise UserError(f"{path} holds {items.dtype}", field="data.source", way=way)
    if items.size == 0:
        raise UserError(f"{path} holds no items", field="data.source")
    with_channels = _with_channels(config, path, items)
    levels = config.levels or 256
    low, high = _range(items)
    if low < 0 or high >= levels:
        raise UserError(
            f"{path} holds values {low} ... {high}",
            field="data.levels",
            value=levels,
            way=["use ", Setting("data.levels", high + 1), f" or scale it to 0 ... {levels - 1}"],
        )
    if labels is not None and (labels.shape != (len(items),) or labels.min() < 0 or labels.max() >= MOST_CLASSES):
        way = f"number the classes 0 ... {MOST_CLASSES - 1} at most"
        raise UserError(
            f"labels in {path} are not one number for each of {len(items)} items", field="data.source", way=way
        )
    names = () if labels is None else tuple(str(label) for label in range(int(labels.max()) + 1))
    channels, *size = with_channels.shape[1:]
    spec = DatasetSpec(channels=channels, size=tuple(size), levels=levels, class_names=names)
    return ArrayDataset(spec, with_channels, labels)


def _with_channels(config: DataConfig, path: Path, items: NDArray[Any]) -> Levels:
    if items.ndim == config.dimensions + 1:
        return items[:, None]
    if items.ndim == config.dimensions + 2:
        return items if config.channels_first else np.moveaxis(items, -1, 1)
    raise UserError(
        f"{path} has shape {items.shape}, which is no list of items of {config.dimensions} dimension(s), with or"
        " without channels",
        field="data.dimensions",
        way=["use another ", Setting("data.dimensions")],
    )


def _range(items: NDArray[Any]) -> tuple[int, int]:
    """Return the smallest and the largest value, which are looked for a part at a time."""
    ranges = [(part.min(), part.max()) for part in (items[i : i + 4096] for i in range(0, len(items), 4096))]
    return int(min(low for low, _ in ranges)), int(max(high for _, high in ranges))
