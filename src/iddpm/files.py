"""Writing beside and renaming: a file or folder is there whole, or it is not there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iddpm.errors import Text, UserError

CACHE = "IDDPM_CACHE"
"""The environment variable that names the folder of everything that is kept between runs and can be made again."""


def cache_folder() -> Path:
    """Return the folder for decoded data, compiled kernels and classifiers: $IDDPM_CACHE, or the user's cache."""
    if configured := os.environ.get(CACHE):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "iddpm"


NOT_SUCH_ARRAYS = (
    *(OSError, ValueError, EOFError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError),  # RuntimeError: said to be encrypted, or packed in another way
    *(SyntaxError, tokenize.TokenError, TypeError, OverflowError),  # of numpy's parser of headers
)
"""The errors of numpy and zipfile for a file of arrays that is missing, damaged or something else.

Have them around the reading alone: an error of ours must not be told as damage.
"""


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file by name; ValueError, saying why, if it is missing, damaged or something else.

    Checksums are compared first: numpy would take what it finds in a damaged header for an array's type and size.
    """
    import numpy as np

    with _archive(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)


def array_names(path: Path) -> set[str]:
    """Return the names of the arrays in an npz file; ValueError as `read_arrays` has it, but for damaged contents."""
    with _archive(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; an error of reading it becomes a ValueError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except NOT_SUCH_ARRAYS as error:
        raise ValueError(str(error) or "it ends too soon") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder at, renamed to `path` when done and removed on any error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        _permit(beside, as_=path.with_name(f".{path.name}.{os.getpid()}.new"))
        if beside.is_dir() and path.is_dir():
            shutil.rmtree(path)
        beside.replace(path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def final_path(path: Path) -> Path:
    """Return what a path that `replacing` gave is renamed to; another path as it is."""
    return path.with_name(path.name[1:].rsplit(".", 2)[0]) if path.name.endswith(".part") else path


def _permit(path: Path, as_: Path) -> None:
    """Let others read what they may read of a new file: safetensors writes files for their owner alone.

    as_: is made as one for a moment. (To ask for the process's umask is to set it, which other threads would notice.)
    """
    as_.touch()
    mode = as_.stat().st_mode
    as_.unlink()
    for file in [path, *path.rglob("*")]:
        if file.is_file():
            file.chmod(file.stat().st_mode | mode)


def locked(path: Path, taken: Text, *, way: Text = ()) -> Callable[[], None]:
    """Keep other processes from what the file `path` stands for, until what this returns is called or the process ends.

    The file is removed then. UserError saying `taken` if another process has it. (Where the system has no such locks,
    nothing happens.)
    """
    try:
        import fcntl
    except ImportError:
        return lambda: None
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(taken, way=way) from None
        if _is_open(path, descriptor):  # else it was removed in between, and another process may lock a new one
            break
        os.close(descriptor)

    def release() -> None:
        path.unlink(missing_ok=True)
        os.close(descriptor)

    return release


def _is_open(path: Path, descriptor: int) -> bool:
    """Return whether an open file is (still) the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def check_place(path: Path, field: str) -> None:
    """Raise UserError naming `field` if `path` cannot be written to: before long work, not after it."""
    _check_writable(path, path.absolute().parent, field, "is a folder" if path.is_dir() else "")


def check_folder(path: Path, field: str) -> None:
    """Raise UserError naming `field` if nothing can be written into the folder `path`, or it cannot be made."""
    _check_writable(path, path.absolute(), field)


def _check_writable(path: Path, folder: Path, field: str, reason: str = "") -> None:
    try:
        if reason:
            raise OSError(reason)
        above = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=above):  # permissions alone do not tell, least of all to root
            pass
    except OSError as error:
        what = f"{path} cannot be written ({error.strerror or error})"
        raise UserError(what, field=field, way="name another place") from None


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(values, indent=2) + "\n")
