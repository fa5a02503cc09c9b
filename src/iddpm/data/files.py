"""Files that hold an item each: which there are, their classes and their bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import PurePosixPath


class Files(ABC):
    """Files by name. Names are relative, with forward slashes, and sorted; hidden files have none."""

    names: list[str]

    @abstractmethod
    def fingerprint(self, names: list[str]) -> object:
        """Return JSON values that change when one of these files does."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes."""


def visible(names: Iterable[str]) -> list[str]:
    """Return the names in which no part is hidden, sorted."""
    return sorted(name for name in names if not any(map(_is_hidden, PurePosixPath(name).parts)))


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "__MACOSX"))


def class_of_each(names: list[str]) -> list[str] | None:
    """Return the class of every file: its folder, if all lie in folders, or what stands before "_" in its name.

    None if neither tells at least two classes apart.
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
