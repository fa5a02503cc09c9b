"""A diffusion model as an experiment's subject: an ordinary training run."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from iddpm.acceleration import choose_device
from iddpm.checkpoints.loading import load
from iddpm.checkpoints.run import RunDirectory, step_of
from iddpm.config import Config, DatasetSpec, Section, TrainingConfig
from iddpm.errors import DivergedError
from iddpm.experiments.data import fingerprint, opened, spec_of
from iddpm.experiments.experiment import JSON, Subject
from iddpm.model import Model
from iddpm.progress import Progress
from iddpm.speed import count_flops
from iddpm.training import Session, Stepped, Working
from iddpm.training.records import Records


@dataclass(frozen=True)
class DiffusionRun(Subject):
    """A run of `iddpm train`."""

    config: Config

    @property
    def seed(self) -> int:
        """Of its training, and of what is drawn to measure it: so that runs of different seeds are independent."""
        return self.config.training.seed

    def identity(self) -> JSON:
        return self.config.to_json()

    def make(self, folder: Path) -> Generator[Progress, None, None]:
        if self.is_made(folder):
            return
        device = choose_device("auto")
        session = Session(self.config, opened(self.config.data), folder, device)
        with _of(folder), closing(session.events()) as events:
            for event in events:
                match event:
                    case Stepped(step, steps, _):
                        progress = Progress("training", step, steps)
                    case Working(what, done, count):
                        progress = Progress(what, done, count)
                    case _:
                        continue
                try:
                    yield progress
                except GeneratorExit:  # whoever wanted the run has been told to stop
                    session.save()
                    raise

    def check_data(self, folder: Path) -> None:
        """UserError where there is such a run, and its data has changed since."""
        run = RunDirectory(folder)
        if run.exists:
            run.check_data(opened(self.config.data).spec, fingerprint(self.config.data))

    def is_made(self, folder: Path) -> bool:
        training, latest = self.config.training, RunDirectory(folder).latest()
        if latest is None or step_of(latest) < training.steps:
            return False
        records = Records(RunDirectory(folder).metrics).read() if training.validate_every else []
        # An interruption may have come between the last checkpoint and the last validation.
        return not training.validate_every or any(
            record["step"] == training.steps and "validation_bits" in record for record in records
        )

    def command(self, folder: Path) -> str:
        start = "digits" if self.config.data.source == "digits" else "cifar10"
        return shlex.join(["iddpm", "train", start, "--run", str(folder), *flags(self.config, start)])

    def model(self, folder: Path, weights: str | None = None, step: int | None = None) -> Model:
        """As it was after `step` (at the end for None), with averaged weights if not told otherwise; ready for work."""
        place = folder if step is None else RunDirectory(folder).checkpoint(step)
        model = load(place, weights=weights).to(choose_device("auto"))
        return model.accelerate(calls=10_000, tell=lambda line: None)

    def flops(self) -> int:
        """Of the whole training, counted operator by operator."""
        config = self.config
        ordinary = config.model_copy(update={"training": TrainingConfig()})
        each = _flops_of(ordinary, spec_of(config.data))
        return each * config.training.batch_size * config.training.steps


@contextmanager
def _of(folder: Path) -> Iterator[None]:
    """A diagnosis says which of an experiment's runs it is about."""
    try:
        yield
    except DivergedError as error:
        way = f"iddpm train {shlex.quote(str(folder))}, with such flags; when it is done, this command goes on"
        raise DivergedError(f"{error}\n  this run: {way}") from None


@cache
def _flops_of(config: Config, spec: DatasetSpec) -> int:
    """Of a step, for an image of its batch."""
    return count_flops(config, spec).training


def flags(config: Config, preset_name: str) -> list[str]:
    """The words that make iddpm train's preset of that name into `config`."""
    from iddpm.presets import preset

    start = preset(preset_name)
    words: list[str] = []
    for section in Config.model_fields:
        ours, theirs = getattr(config, section), getattr(start, section)
        for field, value in changed(ours, theirs):
            name = field.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{section}.{name}" if value else f"--{section}.no-{name}")
            else:
                words += [f"--{section}.{name}", *_words(value)]
    return words


def changed(ours: Section, theirs: Section) -> Iterator[tuple[str, Any]]:
    """Fields that differ, with their values."""
    for field in type(ours).model_fields:
        value = getattr(ours, field)
        if value != getattr(theirs, field):
            yield field, value


def _words(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return [str(value)]
