"""`iddpm train PRESET|CONFIG|RUN`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from iddpm.cli.arguments import parsed
from iddpm.config import Config, DatasetSpec, load_config
from iddpm.errors import UserError
from iddpm.files import check_folder
from iddpm.presets import PRESETS

DESCRIPTION = "Train a model. The same command again goes on where it was, exactly.\n\npresets:\n" + "\n".join(
    f"  {name}: {preset.about}" for name, preset in PRESETS.items()
)


class TrainArguments(Config):
    """A run: where it is, what it runs on, and every field of its configuration."""

    run: str | None = None
    """Directory of the run. None means runs/PRESET."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object at the end."""

    def config(self) -> Config:
        """Return the configuration alone."""
        return Config(**{name: getattr(self, name) for name in Config.model_fields})


class Start(NamedTuple):
    """The beginning that a preset, a configuration file or a run gives.

    config: what flags change. place: the directory of the run, unless a flag names another. spec: what the data of a
    run is.
    """

    config: Config
    place: str
    spec: DatasetSpec | None = None


def run(words: Sequence[str]) -> int:
    """Train; return 0 when training is done, and 130 or 143 when it was interrupted and saved."""
    name, flags = _split(words)
    start = Start(Config(), "runs/PRESET") if name is None else start_of(name)
    values = {section: getattr(start.config, section) for section in Config.model_fields}
    with parsed(
        TrainArguments,
        flags,
        command=f"train {name or 'PRESET|CONFIG'}",
        description=DESCRIPTION,
        default=TrainArguments(**values, run=start.place),
    ) as arguments:
        if arguments.run == "":
            raise UserError("is empty", field="run", way="name a directory")
        place = Path(arguments.run or start.place)
        check_folder(place, "run")
        from iddpm.cli.work.train import train

        return train(arguments.config(), place, arguments.device, as_json=arguments.as_json)


def _split(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return what to begin with, and the flags; nothing to begin with is only for --help."""
    if words and not words[0].startswith("-"):
        return words[0], list(words[1:])
    if "--help" in words or "-h" in words:
        return None, ["--help"]
    raise UserError("train: name a preset, a configuration file or a run first, e.g. iddpm train digits --run runs/a")


def start_of(name: str) -> Start:
    """Return what a preset, a configuration file or a run gives. UserError for anything else."""
    if name in PRESETS:
        return Start(PRESETS[name].config, f"runs/{name}")
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path}: holds no run (no config.json)", way=f"use a preset: {', '.join(PRESETS)}")
        from iddpm.checkpoints.run import RunDirectory

        config, spec = RunDirectory(path).read_config()
        return Start(config, name, spec)
    if path.suffix == ".json" or path.exists():
        return Start(load_config(path), f"runs/{path.stem}")
    raise UserError(f'"{name}" is no preset, file or run', way=f"presets are {', '.join(PRESETS)}")
