"""Places for samples: a grid, a folder of files, or an npz file. Each is there whole, or not at all."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import quantize
from iddpm.data.kinds import FileKind, kind_of
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.files import check_place, replacing
from iddpm.pictures import grid

Classes = Sequence[int] | None
"""The label of each sample, for a class-conditional model."""


@contextmanager
def write_grid(place: Path, spec: DatasetSpec, count: int, classes: Classes) -> Iterator[Callable[[Levels], None]]:
    """Write one PNG of all samples."""
    items: list[Levels] = []
    yield items.append
    grid(np.concatenate(items), spec).save(place, format="PNG")


@contextmanager
def write_folder(place: Path, spec: DatasetSpec, count: int, classes: Classes) -> Iterator[Callable[[Levels], None]]:
    """Write a file a sample, called by its number, or by CLASS_NUMBER: a folder that can be trained on again."""
    kind = kind_of(spec)
    assert isinstance(kind, FileKind)  # see `_check_folder`
    prefixes = ("" if classes is None else f"{spec.class_names[label].replace('_', '-')}_" for label in classes or ())
    names = (f"{next(prefixes, '')}{i:06d}{kind.endings[0]}" for i in itertools.count())
    place.mkdir()

    def put(items: Levels) -> None:
        for item, name in zip(items, names, strict=False):
            kind.write(place / name, item, spec.levels)

    yield put


@contextmanager
def write_npz(place: Path, spec: DatasetSpec, count: int, classes: Classes) -> Iterator[Callable[[Levels], None]]:
    """Write an archive of arr_0, grey levels `[count, *size, channels]`, and of arr_1, the labels if there are any."""
    dtype = np.dtype(np.uint8 if spec.levels <= 256 else np.uint16)
    shape = (count, *spec.size, spec.channels)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)

            def put(items: Levels) -> None:
                member.write(np.ascontiguousarray(np.moveaxis(items, 1, -1)).tobytes())

            yield put
        if classes is not None:
            with archive.open("arr_1.npy", "w") as member:
                np.lib.format.write_array(member, np.array(classes, dtype=np.int64))


Writer = Callable[[Path, DatasetSpec, int, Classes], AbstractContextManager[Callable[[Levels], None]]]
"""(place, spec, count, classes) -> a context that gives the function that writes the next grey levels."""
WRITERS: dict[str, Writer] = {".png": write_grid, ".npz": write_npz, "": write_folder}


def check_out(out: Path, spec: DatasetSpec) -> Writer:
    """Return the writer for `out`, chosen by its name; UserError for a bad place: to be asked before any work."""
    writer = WRITERS.get(out.suffix.lower())
    if writer is None:
        way = "use NAME.png, NAME.npz, or a folder's name"
        raise UserError(f'"{out.suffix}" is not written', field="out", way=way)
    if writer is write_folder:
        _check_folder(out, spec)
    elif out.is_dir():
        raise UserError(f"{out} is a folder", field="out", way="choose another name")
    if not out.is_dir():
        check_place(out, "out")
    return writer


def _check_folder(out: Path, spec: DatasetSpec) -> None:
    kind = kind_of(spec)
    if not isinstance(kind, FileKind):
        raise UserError("such data is not written as files", field="out", way="use NAME.npz")
    try:
        kind.check(spec)
    except UserError as error:
        raise UserError(error.what, field="out", value=error.value, way="use NAME.npz") from None
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder", field="out", way="choose another name")


@contextmanager
def open_writer(out: Path, spec: DatasetSpec, count: int, classes: Classes) -> Iterator[Callable[[Tensor], None]]:
    """Open `out` for samples `[batch, channels, *size]` in [-1, 1], a batch after another, rounded to its levels.

    On any error nothing of it is left. UserError for a bad place.
    """
    writer = check_out(out, spec)
    try:
        with replacing(out) as beside:
            with writer(beside, spec, count, classes) as put:
                yield lambda batch: put(quantize(batch, spec.levels))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror or error})", field="out") from None
