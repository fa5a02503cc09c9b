"""The data of experiments, read once."""

from __future__ import annotations

from functools import cache

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import Splits, open_source
from iddpm.errors import UserError


@cache
def opened(data: DataConfig) -> Splits:
    """The data, read once."""
    return open_source(data)


@cache
def fingerprint(data: DataConfig) -> str:
    """The data's, to notice if it changes."""
    return opened(data).fingerprint()


def images_spec(data: DataConfig, whose: str) -> DatasetSpec:
    """The same, for models that are of images alone; UserError for other data."""
    spec = spec_of(data)
    if len(spec.size) != 2:
        raise UserError(f"data.source: {data.source} has {len(spec.size)} dimensions, and {whose} is for images (2)")
    return spec


def spec_of(data: DataConfig) -> DatasetSpec:
    """What the data is; it is not opened where the configuration tells."""
    return data.expected_spec() or opened(data).spec
