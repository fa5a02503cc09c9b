"""Arrays of integers in npy and npz files: images, sounds or volumes that are quantized already."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.cache import CacheEntry
from iddpm.data.dataset import ArrayDataset
from iddpm.data.scaling import Levels
from iddpm.errors import UserError

ITEM_NAMES = ("arr_0", "images", "x", "data")
LABEL_NAMES = ("arr_1", "labels", "y")
MOST_CLASSES = 100_000


def npy_dataset(config: DataConfig, path: Path) -> ArrayDataset:
    """An .npy file of items, memory-mapped where it lies."""
    return _dataset(config, path, _read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False)), None)


def npz_dataset(config: DataConfig, path: Path) -> ArrayDataset:
    """An .npz file: items in `arr_0` or `images`, labels, if any, in `arr_1` or `labels` (as the authors' samples).

    Unpacked once into the cache and memory-mapped from there.
    """
    stat = path.stat()
    entry = CacheEntry(f"npz:{path.resolve()}", {}, [stat.st_size, stat.st_mtime_ns])
    found = entry.load()
    if found is None:
        entry.store(lambda folder: _unpack(path, folder))
        found = entry.load()
        assert found is not None
    items, labels, _ = found
    return _dataset(config, path, items, labels)


def _read(path: Path, load: Any) -> Any:
    try:
        return load()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        is_objects = any(word in str(error).lower() for word in ("pickle", "objects"))
        reason = "holds Python objects, which are not loaded" if is_objects else "is no array file"
        raise UserError(f"data.source: {path} {reason}, or it is damaged; save plain integers with numpy") from None


def _unpack(path: Path, folder: Path) -> tuple[NDArray[np.int64] | None, dict[str, Any]]:
    with path.open("rb") as file:  # numpy leaves a file that it cannot read open
        archive = _read(path, lambda: np.load(file, allow_pickle=False))
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"data.source: {path} is a single array; use npy:{path}")
        item_name = next((name for name in ITEM_NAMES if name in archive.files), None)
        if item_name is None:
            raise UserError(f"data.source: {path} holds {', '.join(archive.files)}; the items must be called images")
        label_name = next((name for name in LABEL_NAMES if name in archive.files), None)
        np.save(folder / "items.npy", _read(path, lambda: archive[item_name]))
        labels = _read(path, lambda: archive[label_name]) if label_name else None
    if labels is not None and not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"data.source: labels in {path} are {labels.dtype}; number the classes 0, 1, 2 ... first")
    return (None if labels is None else labels.astype(np.int64)), {}


def _dataset(config: DataConfig, path: Path, items: NDArray[Any], labels: NDArray[np.int64] | None) -> ArrayDataset:
    if not isinstance(items, np.ndarray):
        raise UserError(f"data.source: {path} is an archive of arrays; use npz:{path}")
    if not np.issubdtype(items.dtype, np.integer):
        raise UserError(f"data.source: {path} holds {items.dtype}; quantize it to integers 0 ... levels - 1 first")
    with_channels = _with_channels(config, path, items)
    levels = config.levels or 256
    if items.size == 0:
        raise UserError(f"data.source: {path} holds no items")
    low, high = _range(items)
    if low < 0 or high >= levels:
        raise UserError(f"data.levels: {path} holds values {low} ... {high}; use --data.levels {high + 1} or scale it")
    if labels is not None and (labels.shape != (len(items),) or labels.min() < 0 or labels.max() >= MOST_CLASSES):
        raise UserError(
            f"data.source: labels in {path} must be one number, below {MOST_CLASSES}, for each of {len(items)} items"
        )
    channels, *size = with_channels.shape[1:]
    if config.channels not in (None, channels) or any(config.size not in (None, side) for side in size):
        raise UserError(
            f"data: items of {path} have {channels} channel(s) and size {'x'.join(map(str, size))}; arrays are not"
            " converted, so leave data.channels and data.size out"
        )
    names = tuple(str(label) for label in range(int(labels.max()) + 1)) if labels is not None else ()
    spec = DatasetSpec(channels=channels, size=tuple(size), levels=levels, class_names=names)
    return ArrayDataset(spec, with_channels, labels)


def _with_channels(config: DataConfig, path: Path, items: NDArray[Any]) -> Levels:
    if items.ndim == config.dimensions + 1:
        return items[:, None]
    if items.ndim == config.dimensions + 2:
        return items if config.channels_first else np.moveaxis(items, -1, 1)
    raise UserError(
        f"data.dimensions: {path} has shape {items.shape}, which is no list of items of {config.dimensions}"
        " dimension(s), with or without channels"
    )


def _range(items: NDArray[Any]) -> tuple[int, int]:
    """Smallest and largest value, a part at a time."""
    parts = [(part.min(), part.max()) for part in (items[i : i + 4096] for i in range(0, len(items), 4096))]
    return int(min(low for low, _ in parts)), int(max(high for _, high in parts))
