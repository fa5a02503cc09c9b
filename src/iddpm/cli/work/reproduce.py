"""Experiments from training to verdicts, by as many processes as there are cores."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

from iddpm.cli.arguments import not_default
from iddpm.cli.commands.reproduce import ReproduceArguments
from iddpm.cli.main import INTERRUPTED, TERMINATED
from iddpm.cli.progress import ProgressLine, StopSignal, say
from iddpm.cli.train_words import train_command
from iddpm.config import DataConfig
from iddpm.errors import UserError
from iddpm.experiments.data import opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Measured
from iddpm.experiments.measures import check_features
from iddpm.experiments.page import Page, plain
from iddpm.experiments.scales import Scale, scale_of
from iddpm.experiments.store import Store
from iddpm.names import EXPERIMENTS
from iddpm.presets import PRESETS
from iddpm.progress import Progress, finish

WORKER = "IDDPM_REPRODUCE_WORKER"
"""The experiment's name, for processes that help another one: they work on its cells, and conclude nothing."""
PATIENCE = 5.0
"""Seconds that a helper has to end by itself."""


def reproduce(arguments: ReproduceArguments, words: Sequence[str]) -> int:
    """Make what experiments need, conclude from it, and print what they found; return the exit code."""
    names = list(EXPERIMENTS) if arguments.name == "all" else [arguments.name]
    scale = replace(scale_of(arguments.scale, _data(arguments)), given=arguments.samples)
    cells = {name: EXPERIMENTS[name]().cells(scale, arguments.seeds or scale.seeds) for name in names}
    every = list(chain.from_iterable(cells.values()))
    store = Store(Path(arguments.runs))
    _check(every, store, printing=arguments.print_commands)
    if arguments.print_commands:
        _print_commands(store, every)
    elif WORKER in os.environ:
        _help(store, cells[os.environ[WORKER]])
    else:
        for name in names:
            _conclude(name, scale, cells[name], store, arguments, words)
    return 0


def _data(arguments: ReproduceArguments) -> DataConfig | None:
    """Return the data that was asked for; None for the scale's own."""
    if arguments.data is None:
        return None
    data = PRESETS[arguments.data].config.data if arguments.data in PRESETS else DataConfig(source=arguments.data)
    given = {"size": arguments.size, "channels": arguments.channels}
    return data.model_copy(update={name: value for name, value in given.items() if value is not None})


def _check(cells: list[Cell], store: Store, *, printing: bool) -> None:
    """Raise UserError if data is missing or changed (only print that if `printing`), or a network does not fit it."""
    runs: dict[DataConfig, list[DiffusionRun]] = {}
    judged: set[DataConfig] = set()
    for cell in cells:
        if isinstance(cell.subject, DiffusionRun):
            runs.setdefault(cell.subject.config.data, []).append(cell.subject)
            if any(measure.compares_features for measure in cell.measures):
                judged.add(cell.subject.config.data)
    for data, of_data in runs.items():
        try:
            opened(data)
            for run in of_data:
                run.check_data(store.folder(run))
        except UserError as error:
            if not printing:
                raise
            say(f"note: {error} (where the commands will run)")
        for run in of_data:
            run.flops()
        if data in judged and not printing:
            check_features(data)


def _print_commands(store: Store, cells: list[Cell]) -> None:
    """Print the command of each run that is not there yet, once, whichever experiments share it."""
    for run in {cell.subject.key: cell.subject for cell in cells}.values():
        if isinstance(run, DiffusionRun) and not run.is_made(store.folder(run)):
            print(train_command(run.config, store.folder(run)))


def _help(store: Store, cells: list[Cell]) -> None:
    """Work on what another process concludes from."""
    with StopSignal("saving where the run is") as stop, closing(store.work(cells)) as work:
        finish(work, lambda _: stop.obey())


def _conclude(
    name: str, scale: Scale, cells: list[Cell], store: Store, arguments: ReproduceArguments, words: Sequence[str]
) -> None:
    """Measure an experiment's cells, write its page, and print its tables and findings."""
    experiment = EXPERIMENTS[name]()
    measured = _measured(name, store, cells, _jobs(arguments, len(cells)), words)
    outcome = experiment.conclude(scale, measured)
    page = Page(name, experiment, scale, cells, measured, outcome, _command(arguments, name))
    path = page.write(Path(arguments.out) if arguments.out else store.root)
    if arguments.json:
        findings = [vars(finding) for finding in outcome.findings]
        print(json.dumps({"experiment": name, "page": str(path), "findings": findings}))
        return
    for table in page.tables():
        print("\n".join([table.title, *plain(table), ""]))
    print("\n".join(map(str, outcome.findings)))
    print(path)


def _jobs(arguments: ReproduceArguments, cells: int) -> int:
    if arguments.jobs is not None:
        return arguments.jobs
    alone = arguments.scale != "tiny" or torch.cuda.is_available()
    return 1 if alone else min(os.cpu_count() or 1, cells)


def _measured(name: str, store: Store, cells: list[Cell], jobs: int, words: Sequence[str]) -> list[Measured]:
    """Return what all cells have given, after working on those that have not."""
    done = len(store.all_measured(cells))
    at_once = max(1, min(jobs, len(cells) - done))
    say(f"{name}: {len(cells)} runs, {done} of them measured already; {at_once} at once")
    signals = StopSignal("saving where a run is; a measurement is made again")
    with _helpers(name, at_once - 1, words), ProgressLine(name, len(cells), done) as line, signals as stop:

        def show(progress: Progress) -> None:
            stop.obey()
            line.update(progress.done, progress.what.__str__)

        with closing(store.work(cells)) as work:
            measured = finish(work, show)
        line.update(len(cells))
    return measured


@contextmanager
def _helpers(name: str, count: int, words: Sequence[str]) -> Iterator[None]:
    """Have other processes work on the same cells, each with its share of the cores."""
    if count <= 0:
        yield
        return
    threads, before = max(1, (os.cpu_count() or 1) // (count + 1)), torch.get_num_threads()
    torch.set_num_threads(threads)
    command = [sys.executable, "-m", "iddpm", "reproduce", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), WORKER: name}
    # What they have to say, this process says too.
    helpers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def _command(arguments: ReproduceArguments, name: str) -> str:
    """Return the command that makes one experiment's page, without machine-specific paths."""
    kept = {"scale", "seeds", "data", "size", "channels"}
    if EXPERIMENTS.fact(name, "takes_samples"):
        kept.add("samples")
    words = ["iddpm", "reproduce", name]
    for field, value in not_default(arguments).items():
        if field in kept:
            words += [f"--{field}", *map(str, value if isinstance(value, tuple) else [value])]
    return shlex.join(words)
