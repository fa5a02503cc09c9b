"""`iddpm reproduce NAME`: one of the paper's tables or figures, from training to verdicts."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from iddpm.cli.arguments import check_least, not_default, parsed, settings_as
from iddpm.cli.main import INTERRUPTED, TERMINATED
from iddpm.cli.progress import ProgressLine, StopSignal, say
from iddpm.config import DataConfig
from iddpm.errors import Setting, UserError
from iddpm.experiments.names import NAMES, ScaleName
from iddpm.files import check_folder
from iddpm.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iddpm.experiments.experiment import Cell, Experiment, Measured
    from iddpm.experiments.scales import Scale
    from iddpm.experiments.store import Store

WORKER = "IDDPM_REPRODUCE_WORKER"
"""The experiment's name, for processes that help another one: they work on its cells, and conclude nothing."""
OWN_NAMES = {"data.source": "data", "data.size": "size", "data.channels": "channels", "run": "runs"}
"""This command's names of other layers' settings."""
PATIENCE = 5.0
"""Seconds that a helper has to end by itself."""
DESCRIPTION = "Rerun one of the paper's experiments; the same command again goes on.\n\nexperiments:\n" + "\n".join(
    f"  {name}: {about}" for name, about in NAMES.items()
)


@dataclass(frozen=True, kw_only=True)
class ReproduceArguments:
    """Which experiment, how large, and where."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """One of the experiments, or all."""
    scale: ScaleName = "tiny"
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
    """Where runs and measurements are kept; nothing in there is done twice."""
    out: str | None = None
    """A folder for the page, its picture and its numbers. None takes the one of the runs."""
    jobs: int | None = None
    """Runs at once. None takes one a CPU core at the scale tiny, and one at others."""
    print_commands: bool = False
    """Print the command of every training run that is not there yet, for a cluster, and end."""
    json: bool = False
    """Print the findings of each experiment as a JSON object on a line."""


def run(words: Sequence[str]) -> int:
    """Reproduce experiments; return the exit code."""
    with parsed(ReproduceArguments, words, command="reproduce", description=DESCRIPTION) as arguments:
        return _run(arguments, words)


def _run(arguments: ReproduceArguments, words: Sequence[str]) -> int:
    _check_words(arguments)
    from iddpm.experiments.catalogue import EXPERIMENTS
    from iddpm.experiments.scales import scale_of
    from iddpm.experiments.store import Store

    chosen = list(NAMES) if arguments.name == "all" else [arguments.name]
    with settings_as(OWN_NAMES):
        scale = replace(scale_of(arguments.scale, _data(arguments)), given=arguments.samples)
        cells = {name: EXPERIMENTS[name]().cells(scale, arguments.seeds or scale.seeds) for name in chosen}
        store = Store(Path(arguments.runs))
        _check(cells, store, arguments)
    if arguments.print_commands:
        _print_commands(store, [cell for each in cells.values() for cell in each])
    elif WORKER in os.environ:
        _help(store, cells[os.environ[WORKER]])
    else:
        for name in chosen:
            _reproduce(EXPERIMENTS[name](), scale, cells[name], store, arguments, words)
    return 0


def _check_words(arguments: ReproduceArguments) -> None:
    """UserError for what can be seen to be wrong without the data."""
    if arguments.name not in (*NAMES, "all"):
        raise UserError(f'"{arguments.name}" is no experiment', field="name", way=f"use one of {', '.join(NAMES)}, all")
    if not arguments.print_commands:
        check_folder(Path(arguments.runs), "runs")
    if arguments.out is not None:
        check_folder(Path(arguments.out), "out")
    check_least(arguments, seeds=1, jobs=1, size=1)
    for place in arguments.samples:
        if not Path(place).exists():
            raise UserError(f"{place} does not exist", field="samples", way="name a folder, a zip or an npz file")
    if arguments.samples and arguments.name not in ("coverage", "all"):
        raise UserError(f"is for coverage, not for {arguments.name}", field="samples", way="leave it out")
    for name in ("size", "channels"):
        if getattr(arguments, name) is not None and arguments.data is None:
            data = Setting("data")
            raise UserError(["is for ", data], field=name, way=["name some, e.g. ", Setting("data", "photos")])
    if arguments.json and arguments.print_commands:
        what = ("is for findings, and ", Setting("print_commands"), " prints commands")
        raise UserError(what, field="json", way="leave one out")


def _check(cells: dict[str, list[Cell]], store: Store, arguments: ReproduceArguments) -> None:
    """UserError where a network does not fit the data, or where that is not there, or has changed: before any work."""
    from iddpm.experiments.data import opened
    from iddpm.experiments.diffusion_run import DiffusionRun
    from iddpm.experiments.measures import check_features

    subjects = [cell.subject for each in cells.values() for cell in each]
    runs = {each.key: each for each in subjects if isinstance(each, DiffusionRun)}
    for run in runs.values():
        run.flops()
    judged = {cell.subject.key for each in cells.values() for cell in each if _compares_features(cell)}
    for data, is_judged in {(each.config.data, key in judged) for key, each in runs.items()}:
        try:
            opened(data)
            for run in (each for each in runs.values() if each.config.data == data):
                run.check_data(store.folder(run))
            if is_judged and not arguments.print_commands:
                check_features(data)
        except UserError as error:
            if not arguments.print_commands:
                raise
            say(f"note: {error} (where the commands will run)")


def _compares_features(cell: Cell) -> bool:
    return any(measure.compares_features for measure in cell.measures)


def _reproduce(
    experiment: Experiment,
    scale: Scale,
    cells: list[Cell],
    store: Store,
    arguments: ReproduceArguments,
    words: Sequence[str],
) -> None:
    from iddpm.experiments.page import compute, plain, write

    name = experiment.name
    measured = _all(name, store, cells, _jobs(arguments, len(cells)), words)
    outcome = experiment.conclude(scale, measured)
    folder = Path(arguments.out) if arguments.out else store.root
    page = write(folder, experiment, scale, outcome, cells, measured, _command(arguments, name))
    if arguments.json:
        print(
            json.dumps({"experiment": name, "page": str(page), "findings": [vars(each) for each in outcome.findings]})
        )
        return
    for table in (*outcome.tables, compute(cells, measured)):
        print("\n".join([table.title, *plain(table), ""]))
    print("\n".join(str(finding) for finding in outcome.findings))
    print(page)


def _data(arguments: ReproduceArguments) -> DataConfig | None:
    """The data that was asked for; None for the scale's own."""

    if arguments.data is None:
        return None
    known = PRESETS[arguments.data].config.data if arguments.data in PRESETS else DataConfig(source=arguments.data)
    given = {"size": arguments.size, "channels": arguments.channels}
    return known.model_copy(update={name: value for name, value in given.items() if value is not None})


def _jobs(arguments: ReproduceArguments, cells: int) -> int:
    if arguments.jobs is not None:
        return arguments.jobs
    import torch

    alone = arguments.scale != "tiny" or torch.cuda.is_available()
    return 1 if alone else min(os.cpu_count() or 1, cells)


def _all(name: str, store: Store, cells: list[Cell], jobs: int, words: Sequence[str]) -> list[Measured]:
    """What all cells have given, after working on those that have not."""
    done = sum(store.measured(cell) is not None for cell in cells)
    at_once = max(1, min(jobs, len(cells) - done))
    say(f"{name}: {len(cells)} runs, {done} of them measured already; {at_once} at once")
    with _helpers(name, at_once - 1, words):
        signals = StopSignal("saving where a run is; a measurement is made again")
        with ProgressLine(name, len(cells), done) as line, signals as stop, closing(store.work(cells)) as work:
            for finished, cell, progress in work:
                stop.obey()
                where = "{} {}/{}".format(*progress) if progress else "waiting for another process"
                line.update(finished, f"{cell}: {where}".__str__)
            line.update(len(cells))
    found = [store.measured(cell) for cell in cells]
    return [each for each in found if each is not None]


@contextmanager
def _helpers(name: str, count: int, words: Sequence[str]) -> Iterator[None]:
    """Other processes that work on the same cells, each with its share of the cores."""
    if count <= 0:
        yield
        return
    import torch

    threads, before = max(1, (os.cpu_count() or 1) // (count + 1)), torch.get_num_threads()
    torch.set_num_threads(threads)
    told = [sys.executable, "-m", "iddpm", "reproduce", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), WORKER: name}
    # What they have to say, this process says too.
    helpers = [
        subprocess.Popen(told, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield
    except BaseException:
        # Ctrl-C reaches them too, and a second signal would keep them from saving.
        for helper in helpers:
            with suppress(subprocess.TimeoutExpired):
                helper.wait(timeout=PATIENCE)
            if helper.poll() is None:
                helper.terminate()
        raise
    finally:
        for helper in helpers:
            if helper.wait() not in (0, INTERRUPTED, TERMINATED):
                say(f"{name}: a helper has ended with the code {helper.returncode}; its runs were left to others")
        torch.set_num_threads(before)


def _help(store: Store, cells: list[Cell]) -> None:
    """Work on what another process concludes from."""
    with StopSignal("saving where the run is") as stop, closing(store.work(cells)) as work:
        for _ in work:
            stop.obey()


def _print_commands(store: Store, cells: list[Cell]) -> None:
    """Of runs that are not there yet, each once, whichever experiments share it."""
    for folder, cell in {store.folder(cell.subject): cell for cell in cells}.items():
        command = cell.subject.command(folder)
        if command is not None and not cell.subject.is_made(folder):
            print(command)


def _command(arguments: ReproduceArguments, name: str) -> str:
    """That makes one experiment's page, without where this machine keeps what."""
    kept = ("scale", "seeds", "data", "size", "channels", *(["samples"] if name == "coverage" else []))
    told = {field: value for field, value in not_default(arguments).items() if field in kept}
    words = ([f"--{field}", *map(str, value if isinstance(value, tuple) else [value])] for field, value in told.items())
    return shlex.join(["iddpm", "reproduce", name, *chain.from_iterable(words)])
