"""Files in a folder and the folders in it."""

from __future__ import annotations

from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data.dataset import Splits
from iddpm.data.decoding import Files, decoding, visible
from iddpm.data.sources.source import Source
from iddpm.progress import Work


class Folder(Source):
    """Pictures, or files of another kind of data, in a folder and the folders in it."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        return decoding(config, f"folder:{path.resolve()}", FolderFiles(path))


class FolderFiles(Files):
    """The files in a folder and the folders in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names = visible(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())

    def fingerprint(self, names: list[str]) -> object:
        return [[name, *self._stamp(name)] for name in names]

    def _stamp(self, name: str) -> tuple[int, int]:
        try:
            stat = (self._folder / name).stat()
        except OSError:  # a link that leads nowhere: a file that cannot be read, which decoding will say
            return (0, 0)
        return (stat.st_size, stat.st_mtime_ns)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()
