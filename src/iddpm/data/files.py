"""Image files in a folder or a zip archive: which there are, their classes and their bytes."""

from __future__ import annotations

import threading
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from iddpm.errors import UserError

IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


class ImageFiles(ABC):
    """Image files by name, sorted; names are relative, with forward slashes."""

    names: list[str]

    @abstractmethod
    def fingerprint(self) -> object:
        """What changes when a file does: JSON values."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes."""


class FolderFiles(ImageFiles):
    """Of a folder and the folders in it. Names that begin with a dot are passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
        self.names = _images(path.as_posix() for path in found)

    def fingerprint(self) -> object:
        return [[name, *_stamp(self._folder / name)] for name in self.names]

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # a link that leads nowhere: an image that cannot be read, which decoding will say
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)


class ZipFiles(ImageFiles):
    """Of a zip archive, which is not unpacked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise UserError(f"data.source: {path} is no zip archive, or a damaged one") from None
        self._lock = threading.Lock()
        self.names = _images(self._archive.namelist())

    def fingerprint(self) -> object:
        return [[info.filename, info.file_size, info.CRC] for info in self._archive.infolist()]

    def read(self, name: str) -> bytes:
        with self._lock:  # an archive has one place to read at
            return self._archive.read(name)


def _images(names: object) -> list[str]:
    chosen = []
    for name in map(str, names):  # type: ignore[call-overload]
        path = PurePosixPath(name)
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if path.suffix.lower() in IMAGE_ENDINGS and not hidden:
            chosen.append(name)
    return sorted(chosen)


def class_of_each(names: list[str]) -> list[str] | None:
    """The class of every file: its folder, where all lie in folders, or what stands before "_" in its name.

    None where neither tells at least two classes apart.
    """
    paths = [PurePosixPath(name) for name in names]
    if all(len(path.parts) > 1 for path in paths):
        classes = [path.parent.name for path in paths]
        if len(set(classes)) > 1:
            return classes
    if all("_" in path.name for path in paths):
        classes = [path.name.split("_")[0] for path in paths]
        if len(set(classes)) > 1:
            return classes
    return None
