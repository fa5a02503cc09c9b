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
from iddpm.files import NOT_SUCH_ARRAYS, cache_folder
from iddpm.progress import Work
from iddpm.versions import VERSIONS

Labels = NDArray[np.int64] | None
Notes = dict[str, Any]
"""Notes on the items, as JSON."""


def cached(
    source: str, settings: Notes, fingerprint: object, fill: Callable[[Path], Work[tuple[Labels, Notes]]]
) -> Work[tuple[Levels, Labels, Notes]]:
    """Return the items of a source (memory-mapped), their labels and notes; they are made if there are none of today.

    source and settings name the entry. fingerprint: what the source looks like today (names, sizes, times of its
    files); an entry with another one is replaced. fill: writes items.npy into a folder, and returns labels and notes.
    """
    folder = cache_folder() / _digest([VERSIONS["items"], source, settings])
    entry = _load(folder, _digest(fingerprint))
    if entry is None:
        yield from _store(folder, _digest(fingerprint), fill)
        entry = _load(folder, _digest(fingerprint))
        assert entry is not None
    return entry


def _load(folder: Path, fingerprint: str) -> tuple[Levels, Labels, Notes] | None:
    try:
        description = json.loads((folder / "description.json").read_text())
        if description["fingerprint"] != fingerprint:
            return None
        items = np.load(folder / "items.npy", mmap_mode="r", allow_pickle=False)
        labels_file = folder / "labels.npy"
        labels = np.load(labels_file, allow_pickle=False) if labels_file.exists() else None
    except (*NOT_SUCH_ARRAYS, KeyError):  # missing or damaged: as good as not there
        return None
    return items, labels, description["notes"]


def _store(folder: Path, fingerprint: str, fill: Callable[[Path], Work[tuple[Labels, Notes]]]) -> Work[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        labels, notes = yield from fill(building)
        if labels is not None:
            np.save(building / "labels.npy", labels)
        (building / "description.json").write_text(json.dumps({"fingerprint": fingerprint, "notes": notes}))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            building.rename(folder)
        except OSError:  # another process stored the same entry in between
            if _load(folder, fingerprint) is None:
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
