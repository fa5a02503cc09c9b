"""Files in a zip archive."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data.dataset import Splits
from iddpm.data.decoding import Files, decoding, visible
from iddpm.data.sources.source import Source
from iddpm.errors import UserError
from iddpm.progress import Work


class Zip(Source):
    """Pictures, or files of another kind of data, in a zip archive."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        return decoding(config, f"zip:{path.resolve()}", ZipFiles(path))


class ZipFiles(Files):
    """The files in a zip archive, which is not unpacked."""

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise UserError(f"{path} is no zip archive, or a damaged one", field="data.source") from None
        self._lock = threading.Lock()
        self.names = visible(self._archive.namelist())

    def fingerprint(self, names: list[str]) -> object:
        return [[info.filename, info.file_size, info.CRC] for info in self._archive.infolist()]

    def read(self, name: str) -> bytes:
        with self._lock:  # an archive has one place to read at
            return self._archive.read(name)
