"""The data of experiments, read once."""

from __future__ import annotations

from functools import cache

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import Dataset, Splits, open_source
from iddpm.errors import UserError


@cache
def opened(data: DataConfig) -> Splits:
    """Return the data, read once."""
    return open_source(data)


def held_out_of(data: DataConfig) -> Dataset:
    """Return the held-out part of the data; UserError if it has none."""
    held_out = opened(data).validation
    if held_out is None:
        raise UserError("holds nothing out, and experiments score held-out items", field="data.validation", value=0)
    return held_out


@cache
def fingerprint(data: DataConfig) -> str:
    """Return the data's fingerprint, to notice if it changes."""
    return opened(data).fingerprint()


def images_spec(data: DataConfig, whose: str) -> DatasetSpec:
    """Return what the data is, for models of images alone; UserError for other data."""
    spec = spec_of(data)
    if len(spec.size) != 2:
        what = f"{data.source} has {len(spec.size)} dimensions, and {whose} is for images (2)"
        raise UserError(what, field="data.source")
    return spec


def spec_of(data: DataConfig) -> DatasetSpec:
    """Return what the data is, without opening it if the configuration tells."""
    return data.expected_spec() or opened(data).spec
