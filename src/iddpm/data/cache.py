"""Decoded data on disk: made once, memory-mapped ever after, made anew when the source has changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iddpm.data.scaling import Levels
from iddpm.files import cache_folder

CACHE_VERSION = 1


class CacheEntry:
    """The decoded form of one source under one way of decoding it.

    source and settings name the entry; fingerprint is what the source looked like (names, sizes, times of its files):
    an entry with another fingerprint is out of date and is replaced.
    """

    def __init__(self, source: str, settings: dict[str, Any], fingerprint: object) -> None:
        name = _digest([CACHE_VERSION, source, settings])
        self._folder = cache_folder() / name
        self._fingerprint = _digest(fingerprint)

    def load(self) -> tuple[Levels, NDArray[np.int64] | None, dict[str, Any]] | None:
        """The array (memory-mapped), the labels and the notes, or None where there is no entry of today's source."""
        try:
            description = json.loads((self._folder / "description.json").read_text())
            if description["fingerprint"] != self._fingerprint:
                return None
            array = np.load(self._folder / "items.npy", mmap_mode="r", allow_pickle=False)
            labels_file = self._folder / "labels.npy"
            labels = np.load(labels_file, allow_pickle=False) if labels_file.exists() else None
        except (OSError, ValueError, KeyError):  # missing or damaged: as good as not there
            return None
        return array, labels, description["notes"]

    def store(self, fill: Callable[[Path], tuple[NDArray[np.int64] | None, dict[str, Any]]]) -> None:
        """Make the entry: `fill` writes items.npy into a folder and returns the labels and notes (JSON)."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix="building-", dir=self._folder.parent))
        try:
            labels, notes = fill(building)
            if labels is not None:
                np.save(building / "labels.npy", labels)
            description = {"fingerprint": self._fingerprint, "notes": notes}
            (building / "description.json").write_text(json.dumps(description))
            shutil.rmtree(self._folder, ignore_errors=True)
            try:
                building.rename(self._folder)
            except OSError:  # another process stored the same entry in between
                if self.load() is None:
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
