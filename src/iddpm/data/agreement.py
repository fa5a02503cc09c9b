"""Agreement between what a configuration states of its data and what the data is."""

from __future__ import annotations

from iddpm.config import DataConfig, DatasetSpec, by
from iddpm.errors import Setting, UserError


def check_stated(config: DataConfig, spec: DatasetSpec) -> None:
    """Raise UserError if the configuration states another size, or other channels or levels, than the data has."""
    dimensions = len(spec.size)
    if config.dimensions not in (2, dimensions):  # nobody states the default
        raise _disagreement(config, "dimensions", config.dimensions, dimensions)
    size = config.sides(dimensions)
    if size not in (None, spec.size):
        raise _disagreement(config, "size", by(size or ()), by(spec.size), " ".join(map(str, spec.size)))
    for field in ("channels", "levels"):
        stated, value = getattr(config, field), getattr(spec, field)
        if stated not in (None, value):
            raise _disagreement(config, field, stated, value)


def check_classes(config: DataConfig, spec: DatasetSpec) -> None:
    """Raise UserError if the configuration states another number of classes than the data has."""
    classes = len(spec.class_names)
    if config.num_classes not in (None, classes):
        raise _disagreement(config, "num_classes", config.num_classes, classes, classes or "None")


def _disagreement(config: DataConfig, field: str, stated: object, value: object, way: object = None) -> UserError:
    setting = Setting(f"data.{field}", value if way is None else way)
    return UserError(f"is {value} in {config.source}", field=setting.field, value=stated, way=["use ", setting])
