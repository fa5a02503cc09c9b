"""The training loop: a generator of what happens, that a progress bar, a log or a page can follow."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from iddpm.checkpoints.loading import describe
from iddpm.checkpoints.run import RunDirectory
from iddpm.checkpoints.state import TrainingState, load_state, save_state
from iddpm.config import Config
from iddpm.data import Splits
from iddpm.data.dataset import Indices
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.pictures import save_grid
from iddpm.progress import Work
from iddpm.sampling import SamplerOptions, given_from, sample_batches
from iddpm.scoring.whole import LikelihoodScore, ScoringOptions, scoring
from iddpm.training.batches import Ahead, batch_indices
from iddpm.training.processes import Processes
from iddpm.training.records import Records, Window
from iddpm.training.trainer import StepResult, Trainer, TrainingBatch

T = TypeVar("T")


@dataclass(frozen=True)
class Stepped:
    """An optimizer step is done; `step` of `steps` are."""

    step: int
    steps: int
    result: StepResult


@dataclass(frozen=True)
class Working:
    """Something else than a step is under way ("validating", "sampling")."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Validated:
    """The held-out data's bits/dim at `step`, with averaged weights."""

    step: int
    score: LikelihoodScore


@dataclass(frozen=True)
class WroteSamples:
    """A grid of samples is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Finished:
    """All steps are done, and the last checkpoint is on disk."""

    step: int


Event = Stepped | Working | Validated | WroteSamples | Saved | Finished


def train(
    config: Config,
    splits: Splits,
    run: RunDirectory | Path | str,
    *,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train a model in the directory `run`, from its newest checkpoint if it has one, and yield what happens.

    stop: asked after every event; once it is true a checkpoint is saved and the generator ends without `Finished`.
    The same call on the same directory goes on exactly where it was, and yields `Finished` alone if it is done.
    UserError for a configuration that does not fit the data or the run; DivergedError if a number is not finite.
    """
    yield from Session(config, splits, run, device).events(stop)


class Session:
    """One process's part in training a run, from where the run is to its last step."""

    def __init__(
        self,
        config: Config,
        splits: Splits,
        run: RunDirectory | Path | str,
        device: torch.device | str = "cpu",
        tell: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.config = config
        self.splits = splits
        self.run = run if isinstance(run, RunDirectory) else RunDirectory(run)
        processes = Processes.from_environment(torch.device(device))
        batch_indices(0, config.training.batch_size, len(splits.train), config.training.seed)
        self._mine = processes.share_of(config.training.batch_size)
        self.trainer = Trainer(config, splits.spec, device, processes, tell)
        self._check_strides()
        self.window = Window(config.diffusion.num_timesteps, self.trainer.device)
        self.records = Records(self.run.metrics)
        self.saved_step = -1
        self._fingerprint = splits.fingerprint()
        self._unlock: Callable[[], None] = lambda: None
        try:
            self._begin_or_go_on()
        except UserError:
            self._unlock()
            raise
        self._ahead = Ahead(self._items)
        self._clock = (time.perf_counter(), self.trainer.step)

    def _check_strides(self) -> None:
        training = self.config.training
        for work in ("validate", "sample"):
            if getattr(training, f"{work}_every"):
                try:
                    self.trainer.diffusion.strided(getattr(training, f"{work}_steps"))
                except UserError as error:
                    raise UserError(f"training.{work}_{error}") from None

    def _begin_or_go_on(self) -> None:
        if not self.run.exists:
            if self.trainer.processes.is_first:
                self.run.begin(self.config, self.splits.spec, self._fingerprint)
                self._unlock = self.run.lock()
            return
        if self.trainer.processes.is_first:
            self._unlock = self.run.lock()
        self.run.check_same(self.config)
        if self.run.latest() is not None:
            self.run.check_data(self.splits.spec, self._fingerprint)
        state = load_state(self.run, self.config.training.ema_rates)
        if state is not None:
            restore(self.trainer, state)
            self.window.load_state_dict(dict(state.window))
            self.saved_step = state.step
        is_done = state is not None and state.step >= self.config.training.steps
        if self.trainer.processes.is_first and not is_done:
            # A later end or other intervals are the run's from now on.
            self.run.begin(self.config, self.splits.spec, self._fingerprint)
            self.records.cut_after(self.trainer.step)

    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """All that happens until the last step, or until `stop`; see `train`."""
        try:
            for event in self._events():
                yield event
                # Several processes agree after steps: only the first of them comes by the other events.
                agree = self.trainer.processes.count == 1 or isinstance(event, Stepped)
                if agree and self.trainer.processes.any(stop(), self.trainer.device):
                    if self.saved_step != self.trainer.step:
                        yield self.save()
                    return
        finally:
            self._ahead.end()
            self._unlock()
            self._unlock = lambda: None

    def _events(self) -> Iterator[Event]:
        training = self.config.training
        yield from self._look_at(self.trainer.step)  # what an interruption kept from happening
        while self.trainer.step < training.steps:
            result = self.trainer.optimize(self._next_batch())
            self.window.add(result)
            step = self.trainer.step
            last = step == training.steps
            if step % training.log_every == 0 or last:
                self._log(result)
            yield Stepped(step, training.steps, result)
            if step % training.checkpoint_every == 0 or last:
                yield self.save()
            yield from self._look_at(step)
        yield Finished(self.trainer.step)

    def _next_batch(self) -> TrainingBatch:
        data = self.splits.train
        rows, x_0 = self._ahead.take(self.trainer.step)
        if self.config.data.flip:
            x_0 = self._flipped(x_0)
        return self.trainer.draw(x_0, self.trainer.model.conditions_from(x_0, data, rows))

    def _items(self, step: int) -> tuple[Indices, torch.Tensor]:
        """What this process trains on at a step: which items, and the items."""
        training, data = self.config.training, self.splits.train
        rows = batch_indices(step, training.batch_size, len(data), training.seed)[self._mine]
        return rows, data.batch(rows)

    def _flipped(self, x_0: torch.Tensor) -> torch.Tensor:
        generator = np.random.default_rng(mixed_seed(self.config.training.seed, self.trainer.step, 4))
        mirrored = torch.from_numpy(generator.random(self.config.training.batch_size)[self._mine] < 0.5)
        return torch.where(mirrored.reshape(-1, *[1] * (x_0.ndim - 1)), x_0.flip(-1), x_0)

    def _log(self, result: StepResult) -> None:
        then, step_then = self._clock
        self._clock = (time.perf_counter(), self.trainer.step)
        images = (self.trainer.step - step_then) * self.config.training.batch_size
        record = {
            "step": self.trainer.step,
            **self.window.means(),
            "learning_rate": result.learning_rate,
            "images_per_second": images / max(self._clock[0] - then, 1e-9),
        }
        self.window.clear()
        if self.trainer.processes.is_first:
            self.records.append(record)

    def save(self) -> Saved:
        """A checkpoint of now."""
        trainer = self.trainer
        trainer.check()
        path = self.run.path
        if trainer.processes.is_first:
            state = capture(trainer, self.window)
            path = save_state(self.run, state, describe(trainer.model), self.config.training)
        trainer.processes.wait()
        self.saved_step = trainer.step
        return Saved(trainer.step, path)

    def _look_at(self, step: int) -> Iterator[Event]:
        """Validation and samples, where they are due at `step` and have not been made."""
        training = self.config.training
        if step == 0:
            return
        due = [every for every in (training.validate_every, training.sample_every) if every]
        last = step == training.steps
        if self.trainer.processes.is_first:
            yield from self._validate_and_sample(step)
        if last or any(step % every == 0 for every in due):
            self.trainer.processes.wait()
            self._clock = (time.perf_counter(), step)  # the pace is of training alone

    def _validate_and_sample(self, step: int) -> Iterator[Event]:
        training = self.config.training
        last = step == training.steps
        if training.validate_every and (step % training.validate_every == 0 or last):
            known = any(r["step"] == step and "validation_bits" in r for r in self.records.read())
            if self.splits.validation is not None and not known:
                yield from self._validate(step)
        if training.sample_every and (step % training.sample_every == 0 or last):
            for model in (self.trainer.raw_model(), self.trainer.averaged_model()):
                path = self.run.samples / f"step-{step:08d}-{model.weights.replace(' ', '-')}.png"
                if not path.exists():
                    yield from self._sample(step, model, path)

    @property
    def _evaluation_batch(self) -> int:
        """Items at once without a gradient: no more than a training step's forward pass has, on one device."""
        training = self.config.training
        return min(training.microbatch_size or training.batch_size // self.trainer.processes.count, 256)

    def _validate(self, step: int) -> Iterator[Event]:
        training = self.config.training
        data = self.splits.validation
        assert data is not None
        model = self.trainer.averaged_model()
        diffusion = model.diffusion.strided(training.validate_steps)
        count, size = min(training.validate_count, len(data)), self._evaluation_batch
        work = scoring(model, data, diffusion, ScoringOptions(count, batch_size=size))
        score = yield from self._working("validating", work)
        record = {
            "step": step,
            "validation_bits": score.total.mean,
            "validation_error": score.total.error,
            "validation_steps": len(diffusion.schedule),
            "validation_count": count,
        }
        self.records.append(record)
        yield Validated(step, score)

    def _working(self, what: str, work: Work[T]) -> Generator[Working, None, T]:
        """Tell how far the work is, and return its result."""
        while True:
            try:
                progress = next(work)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield Working(what, progress.done, progress.total)

    def _sample(self, step: int, model: Model, path: Path) -> Iterator[Event]:
        training = self.config.training
        count, size = training.sample_count, self._evaluation_batch
        given = given_from(model, self.splits.validation or self.splits.train, count)
        options = SamplerOptions(training.sample_steps)
        samples = []
        for work in sample_batches(model, count, options, given=given, batch_size=size):
            batch = yield from self._working("sampling", work)
            samples.append(batch.cpu())
        save_grid(path, torch.cat(samples), self.splits.spec)
        yield WroteSamples(step, path)


def capture(trainer: Trainer, window: Window) -> TrainingState:
    """All of a trainer's state, as tensors."""
    optimizer = {
        f"{index}/{name}": value.detach().cpu().contiguous()
        for index, values in trainer.optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    raw = {name: tensor.detach().cpu() for name, tensor in trainer.network.state_dict().items()}
    averages = {
        rate: {name: tensor.cpu() for name, tensor in average.items()}
        for rate, average in trainer.averages.state_dicts().items()
    }
    return TrainingState(trainer.step, raw, averages, optimizer, trainer.timesteps.state_dict(), window.state_dict())


def restore(trainer: Trainer, state: TrainingState) -> None:
    """The reverse of `capture`."""
    trainer.network.load_state_dict(state.raw)
    trainer.averages.load_state_dicts(state.averages)
    trainer.timesteps.load_state_dict(dict(state.timestep_sampler))
    parameters = list(trainer.network.parameters())
    by_parameter: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in state.optimizer.items():
        index, _, name = key.partition("/")
        # In the parameter's memory layout: fused kernels walk both in the order of memory.
        laid_out = torch.empty_like(parameters[int(index)]).copy_(value) if value.ndim else value
        by_parameter.setdefault(int(index), {})[name] = laid_out
    known = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict({"state": by_parameter, "param_groups": known["param_groups"]})
    trainer.step = state.step
