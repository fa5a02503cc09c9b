"""The data of experiments, read once."""

from __future__ import annotations

from functools import cache

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import Splits, open_source


@cache
def opened(data: DataConfig) -> Splits:
    """The data, read once."""
    return open_source(data)


@cache
def fingerprint(data: DataConfig) -> str:
    """The data's, to notice if it changes."""
    return opened(data).fingerprint()


def spec_of(data: DataConfig) -> DatasetSpec:
    """What the data is; it is not opened where the configuration tells."""
    return data.expected_spec() or opened(data).spec
