"""`iddpm reproduce NAME`: one of the paper's tables or figures, from training to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from iddpm.cli.arguments import check_least, parsed, settings_as
from iddpm.cli.model_flags import PrintsJSON
from iddpm.errors import Setting, UserError
from iddpm.files import check_folder
from iddpm.names import EXPERIMENTS, SCALES
from iddpm.registry import OneOf

DESCRIPTION = "Rerun one of the paper's experiments; the same command again goes on.\n\nexperiments:\n"
OWN_NAMES = {"data.source": "data", "data.size": "size", "data.channels": "channels", "run": "runs"}
"""This command's names of other layers' settings."""


@dataclass(frozen=True, kw_only=True)
class ReproduceArguments(PrintsJSON):
    """The experiment, its scale, and its place."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """One of the experiments, or all."""
    scale: Annotated[str, OneOf(SCALES)] = "tiny"
    """tiny: for two CPU cores; small: for a GPU; paper: as the paper trained."""
    seeds: int | None = None
    """Runs of each kind that differ in their seed alone. None takes the scale's own number."""
    data: str | None = None
    """Other data: a preset's name, or folder:PATH, zip:PATH, npz:PATH. None takes the scale's own."""
    size: int | None = None
    """Side in pixels that the images of --data are resized to (of photos: of the crops)."""
    channels: Literal[1, 3] | None = None
    """1 makes the pictures of --data grey, 3 makes them RGB. None keeps what they are."""
    samples: tuple[str, ...] = ()
    """coverage: other models' samples to judge beside, each a folder, a zip or an npz file."""
    runs: str = "runs/reproduce"
    """Folder of runs and measurements; nothing in there is done twice."""
    out: str | None = None
    """A folder for the page, its picture and its numbers. None takes the one of the runs."""
    jobs: int | None = None
    """Runs at once. None takes one a CPU core at the scale tiny, and one at others."""
    print_commands: bool = False
    """Print the command of every training run that is not there yet, for a cluster, and end."""


def run(words: Sequence[str]) -> int:
    """Reproduce experiments; return the exit code."""
    description = DESCRIPTION + "\n".join(f"  {name}: {EXPERIMENTS.about(name)}" for name in EXPERIMENTS)
    with parsed(ReproduceArguments, words, command="reproduce", description=description) as arguments:
        _check(arguments)
        from iddpm.cli.work.reproduce import reproduce

        with settings_as(OWN_NAMES):
            return reproduce(arguments, words)


def _check(arguments: ReproduceArguments) -> None:
    """Raise UserError for what is wrong without a look at the data."""
    if arguments.name not in (*EXPERIMENTS, "all"):
        way = f"use one of {', '.join(EXPERIMENTS)}, all"
        raise UserError(f'"{arguments.name}" is no experiment', field="name", way=way)
    if not arguments.print_commands:
        check_folder(Path(arguments.runs), "runs")
    if arguments.out is not None:
        check_folder(Path(arguments.out), "out")
    check_least(arguments, seeds=1, jobs=1, size=1)
    for place in arguments.samples:
        if not Path(place).exists():
            raise UserError(f"{place} does not exist", field="samples", way="name a folder, a zip or an npz file")
    if arguments.samples and arguments.name != "all" and not EXPERIMENTS.fact(arguments.name, "takes_samples"):
        takers = ", ".join(name for name in EXPERIMENTS if EXPERIMENTS.fact(name, "takes_samples"))
        raise UserError(f"is for {takers}, not for {arguments.name}", field="samples", way="leave it out")
    for name in ("size", "channels"):
        if getattr(arguments, name) is not None and arguments.data is None:
            example = Setting("data", "photos")
            raise UserError(["is for ", Setting("data")], field=name, way=["name some, e.g. ", example])
    if arguments.json and arguments.print_commands:
        what = ("is for findings, and ", Setting("print_commands"), " prints commands")
        raise UserError(what, field="json", way="leave one out")
