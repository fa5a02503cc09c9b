"""The abstract class of kinds of data, and the kind of a dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from iddpm.config import DatasetSpec
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.names import KINDS


@dataclass(frozen=True)
class Header:
    """The form of the item in a file, as far as it is known without decoding it."""

    size: tuple[int, ...]
    channels: int
    levels: int = 256


class Kind(ABC):
    """A kind of data: how items are shown as pictures.

    To add one, write this class with its `shown`, or a `FileKind` if items can be written to files, and give it a row
    in KINDS of iddpm/names.py (or call `KINDS.register`). Data is of this kind if its source says so,
    `DatasetSpec(kind=NAME)`.
    """

    endings: ClassVar[tuple[str, ...]] = ()
    """Endings of the files that are read, if there are any; the first one is that of those that are written."""
    can_mirror: ClassVar[bool] = False
    """True if an item turned round along its last axis is as good an item."""

    @abstractmethod
    def shown(self, items: Levels, levels: int) -> NDArray[np.uint8]:
        """Return items `[n, channels, *size]` as pictures `[n, height, width, 1 or 3]`."""


class FileKind(Kind):
    """A kind of data with files, one an item, whose `endings` it names: how they are written and read back."""

    def check(self, spec: DatasetSpec) -> None:
        """Raise UserError if items of this form do not fit into the kind's files."""

    @abstractmethod
    def write(self, path: Path, item: Levels, levels: int) -> None:
        """Write an item `[channels, *size]` to a file."""

    @abstractmethod
    def header(self, data: bytes) -> Header:
        """Return the form of the item in a file of these bytes; any error says that it cannot be used."""

    @abstractmethod
    def decode(self, data: bytes, spec: DatasetSpec, resize_filter: str) -> Levels:
        """Return the item in a file of these bytes, made to be of `spec.shape`, which is no larger."""


def default_kind(dimensions: int) -> str | None:
    """Return the kind of data of so many dimensions whose source names none."""
    return next((name for name in KINDS if KINDS.fact(name, "dimensions") == dimensions), None)


def kind_of(spec: DatasetSpec) -> Kind:
    """Return the kind of the data; UserError if it has none."""
    name = spec.kind or default_kind(len(spec.size))
    if name is None:
        raise UserError(f"data of {len(spec.size)} dimensions is of no known kind", field="dataset.kind")
    kind: Kind = KINDS[name]()
    return kind


def spread(items: Levels, levels: int, over: int = 256) -> Levels:
    """Return grey levels 0 ... levels - 1 spread over 0 ... over - 1."""
    scaled = (items.astype(np.float64) * ((over - 1) / (levels - 1))).round()
    wide: Levels = scaled.astype(np.uint8 if over <= 256 else np.uint16)
    return wide
