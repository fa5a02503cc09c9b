"""Places for samples: a grid, a folder of files, or an npz file. Each is there whole, or not at all."""

from __future__ import annotations

import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import quantize
from iddpm.data.kinds import kind_of
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.files import check_place, replacing
from iddpm.pictures import grid


class Writer(ABC):
    """A place for samples `[batch, channels, *size]` in [-1, 1], which come a batch after another.

    classes: the label of each sample, for a class-conditional model.
    """

    def __init__(self, place: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> None:
        self.place = place
        self.spec = spec
        self.count = count
        self.classes = classes

    def write(self, batch: Tensor) -> None:
        """Write the next samples, rounded to the data's levels."""
        self.put(quantize(batch, self.spec.levels))

    @abstractmethod
    def put(self, items: Levels) -> None:
        """Write the next grey levels."""

    def close(self) -> None:
        """Finish: all samples have been written."""


class Grid(Writer):
    """One PNG of all samples."""

    def __init__(self, place: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> None:
        super().__init__(place, spec, count, classes)
        self._items: list[Levels] = []

    def put(self, items: Levels) -> None:
        self._items.append(items)

    def close(self) -> None:
        grid(np.concatenate(self._items), self.spec).save(self.place, format="PNG")


class Folder(Writer):
    """A file a sample, called by its number, or by CLASS_NUMBER: a folder that can be trained on again."""

    def __init__(self, place: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> None:
        super().__init__(place, spec, count, classes)
        self._written = 0
        place.mkdir()

    def put(self, items: Levels) -> None:
        kind = kind_of(self.spec)
        for i, item in enumerate(items, self._written):
            prefix = "" if self.classes is None else f"{self.spec.class_names[self.classes[i]].replace('_', '-')}_"
            kind.write(self.place / f"{prefix}{i:06d}{kind.endings[0]}", item, self.spec.levels)
        self._written += len(items)


class Npz(Writer):
    """An archive of arr_0, grey levels `[count, *size, channels]`, and for a class-conditional model arr_1, labels."""

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


WRITERS: dict[str, type[Writer]] = {".png": Grid, ".npz": Npz, "": Folder}


def check_out(out: Path, spec: DatasetSpec) -> type[Writer]:
    """Return the writer for `out`, chosen by its name; UserError for a bad place: to be asked before any work."""
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        way = "use NAME.png, NAME.npz, or a folder's name"
        raise UserError(f'"{out.suffix}" is not written', field="out", way=way)
    if writer is Folder:
        _check_folder(out, spec)
    elif out.is_dir():
        raise UserError(f"{out} is a folder", field="out", way="choose another name")
    if not out.is_dir():
        check_place(out, "out")
    return writer


def _check_folder(out: Path, spec: DatasetSpec) -> None:
    kind = kind_of(spec)
    try:
        kind.check(spec)
    except UserError as error:
        raise UserError(error.what, field="out", value=error.value, way="use NAME.npz") from None
    if not kind.endings:
        raise UserError("such data is not written as files", field="out", way="use NAME.npz")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder", field="out", way="choose another name")


@contextmanager
def open_writer(out: Path, spec: DatasetSpec, count: int, classes: Sequence[int] | None) -> Iterator[Writer]:
    """Open a writer for `out`; on any error nothing of it is left. UserError for a bad place."""
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
