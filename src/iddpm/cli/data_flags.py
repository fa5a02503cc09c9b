"""The data that a user names, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from iddpm.cli.arguments import not_default, settings_as
from iddpm.cli.progress import say, show
from iddpm.config import DataConfig, mistake
from iddpm.errors import Setting, UserError

if TYPE_CHECKING:
    from iddpm.config import DatasetSpec
    from iddpm.data import Dataset, Splits

MOST_LINES = 20
Split = Literal["train", "validation", "all"]


def open_with_progress(config: DataConfig) -> Splits:
    """Open data with its progress on stderr, and a line for each of the first files that were left out."""
    from iddpm.data import opening

    splits = show(opening(config))
    for line in splits.left_out[:MOST_LINES]:
        say(f"left out: {line}")
    if len(splits.left_out) > MOST_LINES:
        say(f"left out: {len(splits.left_out) - MOST_LINES} more")
    return splits


@dataclass(frozen=True)
class NamedData:
    """Part of the data that a user has named, and what a manifest says of it."""

    splits: Splits
    dataset: Dataset
    what: dict[str, Any]


def is_run(name: str) -> bool:
    """Return whether a run lies there."""
    return (Path(name) / "config.json").is_file()


def is_model(name: str) -> bool:
    """Return whether this names a model: a run, a checkpoint of one, or a file of weights."""
    path = Path(name)
    return (
        is_run(name)
        or path.suffix in (".safetensors", ".pt", ".pth")
        or (path.is_dir() and path.name.startswith("step-"))
    )


@dataclass(frozen=True, kw_only=True)
class ReadingArguments:
    """The way images are read, wherever files leave that open."""

    size: int | tuple[int, ...] | None = None
    """Pixels that images in folders and zips are resized and centre-cropped to: a side, or height and width. None keeps
    theirs."""
    channels: int | None = None
    """1 makes images in folders and zips grey, 3 makes them RGB. None keeps what they are."""
    resize_filter: Literal["lanczos", "bicubic", "box"] = "lanczos"
    """The antialiasing filter that images are made smaller with."""
    skip_broken: bool = False
    """Go on without images that cannot be read or are too small."""
    levels: int | None = None
    """Number of values that the entries of arrays (npz, npy) can take. None means 256; images always have 256."""
    dimensions: Literal[1, 2, 3] = 2
    """Dimensions of an item in an array: 1 for sounds, 2 for images, 3 for volumes."""
    channels_first: bool = False
    """Arrays are [items, channels, ...] rather than [items, ..., channels]."""


def open_named(
    name: str, field: str, reading: ReadingArguments, split: Split | None = None, like: DatasetSpec | None = None
) -> NamedData:
    """Return the data of a preset, a source such as folder:PATH, the path of such a thing, or a run (its own data).

    split: None takes the training part of what a preset or a run was made for, and everything of other sources.
    like: what arrays should be, where `reading` does not say. UserError names `field`.
    """
    from iddpm.data.opening import heeded, heeds

    config, own = _config(name, field)
    changes: dict[str, Any] = not_default(reading, ReadingArguments)
    if split == "all" or (split is None and not own):
        changes["validation"] = 0.0
    if like is not None:
        changes = {"dimensions": len(like.size), "levels": like.levels, **changes}
    with settings_as({"data.source": field, "data.*": "*"}):
        try:
            config = heeded(DataConfig.model_validate({**config.model_dump(), **changes}))
        except ValidationError as error:
            raise mistake(error, ["data"]) from None
        splits = open_with_progress(config)
    part = splits.validation if split == "validation" else splits.train
    if part is None:
        way = ("use ", Setting("split", "train"), " or all")
        raise UserError(f"{name} has no held-out part", field="split", way=way)
    what: dict[str, Any] = {"source": config.source, "split": "all" if config.validation == 0 else split or "train"}
    if heeds(config.source, "resize_filter"):
        what |= {"resized to": config.size, "resize filter": config.resize_filter}
    return NamedData(splits, part, what)


def check_named(name: str, field: str) -> None:
    """Raise UserError naming `field` if nothing of that name can be opened."""
    _config(name, field)


def _config(name: str, field: str) -> tuple[DataConfig, bool]:
    """Return its configuration, and whether that is a preset's or a run's own."""
    from iddpm.presets import PRESETS, preset

    if is_run(name):
        from iddpm.checkpoints.run import RunDirectory

        return RunDirectory(Path(name)).read_config()[0].data, True
    if name in PRESETS:
        return preset(name).data, True
    from iddpm.data.opening import origin

    try:
        source, path = origin(name)
    except UserError:
        what = "is no data" if Path(name).expanduser().exists() else "does not exist"
        way = "give a run, a source of data, or a preset's name"
        raise UserError(f"{name} {what}", field=field, way=way) from None
    return DataConfig(source=f"{source}:{path}" if path else source), False
