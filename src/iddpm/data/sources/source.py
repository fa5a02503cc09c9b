"""The abstract class of sources of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data.dataset import Splits
from iddpm.progress import Work


class Source(ABC):
    """Data that a name stands for, `--data.source NAME` or `NAME:PATH`.

    To add one, write this class with its `open`, and give it a row in SOURCES of iddpm/names.py (or call
    `SOURCES.register`) with the facts that are told there: what its path is, if it has one; the endings by which a bare
    path is recognised; the fields of DataConfig that it heeds. It need not check that other fields agree with the data.
    """

    @abstractmethod
    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        """Open the data, with progress if that takes a while.

        path: what PATH is, which exists; of no meaning for a source without one.
        UserError for data that cannot be used. `split` holds out the share that the configuration asks for; what was
        left out is told in `Splits.left_out`.
        """
