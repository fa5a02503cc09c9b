"""The way from `data.source` to the data, and checks that it is what the configuration says."""

from __future__ import annotations

from pathlib import Path

from iddpm.config import DataConfig, DatasetSpec, by
from iddpm.data.dataset import Splits
from iddpm.data.kinds.kind import kind_of
from iddpm.errors import Setting, UserError
from iddpm.names import SOURCES
from iddpm.progress import Work, finish


def open_source(config: DataConfig) -> Splits:
    """Return the training and held-out data of `config.source`; UserError for a source that cannot be used."""
    return finish(opening(config))


def opening(config: DataConfig) -> Work[Splits]:
    """Do what `open_source` does, and say how far it is."""
    name, place = origin(config.source)
    needed, path = SOURCES.fact(name, "path"), Path(place).expanduser()
    if needed and not path.exists():
        raise UserError(f"{path} does not exist", field="data.source", way=f"give the path of a {needed}")
    if needed and path.is_dir() != (needed == "folder"):
        way = f"give a {needed}, or use another source for it"
        raise UserError(f"{path} is a {'folder' if path.is_dir() else 'file'}", field="data.source", way=way)
    splits: Splits = yield from SOURCES[name]().open(config, path)
    check_stated(config, splits.spec)
    classes = len(splits.spec.class_names)
    if config.num_classes not in (None, classes):
        raise _disagreement(config, "num_classes", config.num_classes, classes, classes or "None")
    if config.flip and not kind_of(splits.spec).can_mirror:
        way_out = ("use ", Setting("data.flip", False))
        raise UserError(f"a mirror image of what {config.source} holds is no such item", field="data.flip", way=way_out)
    return splits


def origin(source: str) -> tuple[str, str]:
    """Return the name of a source and its path, "" if it has none: ("folder", "pictures") of "folder:pictures".

    A bare path belongs to the first source that reads what ends so. UserError for a source that is not known.
    """
    name, colon, path = source.partition(":")
    if name in SOURCES and ((colon and path) if SOURCES.fact(name, "path") else not colon):
        return name, path
    bare = Path(source).expanduser()
    ending = "/" if bare.is_dir() else bare.suffix.lower()
    for name in SOURCES:
        if bare.exists() and ending in SOURCES.fact(name, "endings", ()):
            return name, source
    forms = [f"{name}:PATH" if SOURCES.fact(name, "path") else name for name in SOURCES]
    way = f"use {', '.join(forms[:-1])} or {forms[-1]}"
    raise UserError(f'"{source}" is not known', field="data.source", way=way)


def heeds(source: str, field: str) -> bool:
    """Return whether a source reads its data by this field of the configuration."""
    return field in SOURCES.fact(origin(source)[0], "heeds", ())


def heeded(config: DataConfig) -> DataConfig:
    """Return the same, with the fields that its source pays no heed to at their defaults."""
    kept = ("source", "num_classes", "validation")
    fields = DataConfig.model_fields.items()
    others = {name: field.default for name, field in fields if name not in kept and not heeds(config.source, name)}
    return config.model_copy(update=others)


def check_stated(config: DataConfig, spec: DatasetSpec) -> None:
    """Raise UserError if the configuration states another size, or other channels or levels, than the data has."""
    dimensions = len(spec.size)
    if config.dimensions not in (2, dimensions):  # nobody states the default
        raise _disagreement(config, "dimensions", config.dimensions, dimensions, dimensions)
    size = config.sides(dimensions)
    if size not in (None, spec.size):
        raise _disagreement(config, "size", by(size or ()), by(spec.size), spec.size)
    for field in ("channels", "levels"):
        stated, value = getattr(config, field), getattr(spec, field)
        if stated not in (None, value):
            raise _disagreement(config, field, stated, value, value)


def _disagreement(config: DataConfig, field: str, stated: object, actual: object, way: object) -> UserError:
    setting = Setting(f"data.{field}", way)
    return UserError(f"is {actual} in {config.source}", field=setting.field, value=stated, way=("use ", setting))
