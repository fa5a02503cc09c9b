"""From `data.source` to the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data.arrays import npy_dataset, npz_dataset
from iddpm.data.dataset import Splits, split
from iddpm.data.files import FolderFiles, ImageFiles, ZipFiles
from iddpm.data.images import Progress, image_dataset
from iddpm.data.scikit import digits, photos
from iddpm.errors import UserError
from iddpm.progress import Work, ready

KINDS = "digits, photos, folder:PATH, zip:PATH, npz:PATH or npy:PATH"


def _quiet(what: str, done: int, count: int) -> None:
    pass


def open_source(
    config: DataConfig, progress: Progress = _quiet, warn: Callable[[str], None] = lambda line: None
) -> Splits:
    """The training and validation data of `config.source`.

    progress: told of work that takes a while; warn: given a line for every image that `skip_broken` left out.
    UserError for a source that is missing or unusable.
    """
    splits = _open(config, progress, warn)
    classes = len(splits.spec.class_names)
    if config.num_classes not in (None, classes):
        raise UserError(f"data.num_classes: is {config.num_classes}, and {config.source} has {classes}")
    return splits


def _open(config: DataConfig, progress: Progress, warn: Callable[[str], None]) -> Splits:
    kind, separator, rest = config.source.partition(":")
    if not separator and kind == "digits":
        return digits(config)
    if not separator and kind == "photos":
        return photos(config)
    if kind not in ("folder", "zip", "npz", "npy") or not rest:
        hint = f"; for the images in it use folder:{config.source}" if Path(config.source).is_dir() else ""
        raise UserError(f'data.source: "{config.source}" is not known; use {KINDS}{hint}')
    path = Path(rest).expanduser()
    if not path.exists():
        raise UserError(f"data.source: {path} does not exist; give the path of a {kind} with --data.source {kind}:PATH")
    if path.is_dir() != (kind == "folder"):
        what = "a folder" if path.is_dir() else "a file"
        raise UserError(
            f"data.source: {path} is {what}, and {kind}: needs {'a folder' if kind == 'folder' else 'a file'}"
        )
    if kind in ("npz", "npy"):
        return split((npz_dataset if kind == "npz" else npy_dataset)(config, path), config.validation)
    if config.levels not in (None, 256):
        way = "--data.levels 256, or another preset if it is this one's"
        raise UserError(f"data.levels: pictures have 256 levels, got {config.levels}; use {way}")
    if config.dimensions != 2:
        raise UserError(
            f"data.dimensions: pictures have 2 dimensions, got {config.dimensions}; use --data.dimensions 2"
        )
    files: ImageFiles = FolderFiles(path) if kind == "folder" else ZipFiles(path)
    dataset, left_out = image_dataset(config, files, progress)
    for line in left_out:
        warn(line)
    return split(dataset, config.validation)


def opening(config: DataConfig) -> Work[Splits]:
    """Open the data of `config.source`: work that returns its splits."""
    return ready(open_source(config))
