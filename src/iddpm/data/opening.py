"""From `data.source` to the data."""

from __future__ import annotations

from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data.agreement import check_classes, check_stated
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
    name, place = config.origin()
    needed, path = SOURCES.fact(name, "path"), Path(place).expanduser()
    if needed and not path.exists():
        raise UserError(f"{path} does not exist", field="data.source", way=f"give the path of a {needed}")
    if needed and path.is_dir() != (needed == "folder"):
        way = f"give a {needed}, or use another source for it"
        raise UserError(f"{path} is a {'folder' if path.is_dir() else 'file'}", field="data.source", way=way)
    splits: Splits = yield from SOURCES[name]().open(config, path)
    check_stated(config, splits.spec)
    check_classes(config, splits.spec)
    if config.flip and not kind_of(splits.spec).can_mirror:
        raise UserError(
            f"the mirror images of what {config.source} holds are no data like it",
            field="data.flip",
            way=["use ", Setting("data.flip", False)],
        )
    return splits
