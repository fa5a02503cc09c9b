"""Where samples go: a grid, a folder of pictures, or an npz file. Each is there whole, or not at all."""

from __future__ import annotations

import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import quantize
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.files import check_place, replacing
from iddpm.pictures import as_bytes, grid


class Writer(ABC):
    """Takes samples `[batch, channels, *size]` in [-1, 1], a batch after another, rounded to the data's levels."""

    def __init__(self, place: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> None:
        self.place = place
        self.spec = spec
        self.count = count
        self.classes = classes
        self.written = 0

    def write(self, batch: Tensor) -> None:
        """The next samples."""
        self.put(quantize(batch, self.spec.levels))
        self.written += len(batch)

    @abstractmethod
    def put(self, items: Levels) -> None:
        """The next grey levels."""

    def close(self) -> None:
        """All of them have been written."""


class Grid(Writer):
    """One PNG of all samples."""

    _items: list[Levels]

    def put(self, items: Levels) -> None:
        self._items = [*getattr(self, "_items", []), items]

    def close(self) -> None:
        grid(np.concatenate(self._items), self.spec.levels).save(self.place, format="PNG")


class Folder(Writer):
    """A PNG a sample, called NUMBER.png, or CLASS_NUMBER.png: a folder that can be trained on again."""

    def put(self, items: Levels) -> None:
        self.place.mkdir(exist_ok=True)
        for i, picture in enumerate(as_bytes(items, self.spec.levels), self.written):
            prefix = "" if self.classes is None else f"{self.spec.class_names[self.classes[i]].replace('_', '-')}_"
            image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
            image.save(self.place / f"{prefix}{i:06d}.png")


class Npz(Writer):
    """arr_0: grey levels `[count, *size, channels]`; arr_1: labels, for a class-conditional model."""

    def __init__(self, place: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> None:
        super().__init__(place, spec, count, classes)
        self._archive = zipfile.ZipFile(place, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._member = self._archive.open("arr_0.npy", "w", force_zip64=True)
        dtype = np.dtype(np.uint8 if spec.levels <= 256 else np.uint16)
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (count, *spec.size, spec.channels),
        }
        np.lib.format.write_array_header_1_0(self._member, header)

    def put(self, items: Levels) -> None:
        self._member.write(np.ascontiguousarray(np.moveaxis(items, 1, -1)).tobytes())

    def close(self) -> None:
        self._member.close()
        if self.classes is not None:
            with self._archive.open("arr_1.npy", "w") as member:
                np.lib.format.write_array(member, np.array(self.classes, dtype=np.int64))
        self._archive.close()


def _kind(out: Path, spec: DatasetSpec) -> type[Writer]:
    if out.suffix.lower() == ".png":
        return Grid
    if out.suffix.lower() == ".npz":
        return Npz
    if out.suffix:
        raise UserError(f'"{out.suffix}" is not written', field="out", way="use NAME.png, NAME.npz, or a folder's name")
    if len(spec.size) != 2 or spec.channels not in (1, 3):
        raise UserError("only images of 1 or 3 channels make a folder of pictures", field="out", way="use NAME.npz")
    return Folder


def check_out(out: Path, spec: DatasetSpec) -> type[Writer]:
    """The writer for `out`, chosen by its name. UserError for a bad place: to be asked before any work."""
    kind = _kind(out, spec)
    if kind is Folder and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder", field="out", way="choose another name")
    if kind is not Folder and out.is_dir():
        raise UserError(f"{out} is a folder", field="out", way="choose another name")
    if not out.is_dir():
        check_place(out, "out")
    return kind


@contextmanager
def open_writer(out: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> Iterator[Writer]:
    """A writer for `out`; on any error nothing of it is left. UserError for a bad place."""
    kind = check_out(out, spec)
    try:
        with replacing(out) as beside:
            writer = kind(beside, spec, count, classes)
            yield writer
            writer.close()
            if kind is Folder and out.is_dir():
                shutil.rmtree(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror or error})", field="out") from None
