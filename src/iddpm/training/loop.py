"""The training loop: a generator of what happens, that a progress bar, a log or a page can follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from warnings import warn

import numpy as np
import torch

from iddpm.build import build_objective
from iddpm.checkpoints.loading import check_tensors, describe
from iddpm.checkpoints.run import RunDirectory
from iddpm.checkpoints.state import load_state, save_state
from iddpm.config import Config
from iddpm.data import Splits
from iddpm.data.dataset import Indices
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.names import OBJECTIVES, TIMESTEP_SAMPLERS
from iddpm.pictures import save_grid
from iddpm.progress import Progress
from iddpm.sampling import SamplerOptions, given_from, sample_batches
from iddpm.scoring.whole import LikelihoodScore, ScoringOptions, scoring
from iddpm.training.batches import Ahead, batch_indices
from iddpm.training.records import Records, Window
from iddpm.training.running import Backend, from_environment
from iddpm.training.trainer import StepResult, Trainer, TrainingBatch


@dataclass(frozen=True)
class Stepped:
    """An optimizer step is done; `step` of `steps` are."""

    step: int
    steps: int
    result: StepResult


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


Event = Stepped | Progress | Validated | WroteSamples | Saved | Finished
"""An event of training. Progress is that of other work than steps: scoring held-out items, sampling."""


def train(
    config: Config,
    splits: Splits,
    run: RunDirectory | Path | str,
    *,
    model: Model | None = None,
    device: torch.device | str = "cpu",
) -> Model:
    """Train a model in the directory `run`, from its newest checkpoint if it has one; return it with averaged weights.

    model: your own to train, in place of the one that `config` describes; see `iddpm.load` for how to load it again.
    The same call on the same directory goes on exactly where it was, and only loads the model if it is done.
    UserError for a configuration that does not fit the data or the run; DivergedError if a number is not finite.
    """
    session = Session(config, splits, run, model=model, device=device)
    for _ in session.events():
        pass
    return session.trainer.averaged_model()


def train_events(
    config: Config,
    splits: Splits,
    run: RunDirectory | Path | str,
    *,
    model: Model | None = None,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Event, None, None]:
    """Train as `train` does, and yield what happens.

    stop: asked after every event; once it is true a checkpoint is saved and the generator ends without `Finished`.
    """
    yield from Session(config, splits, run, model=model, device=device).events(stop)


class Session:
    """One process's part in training a run, from where the run is to its last step."""

    def __init__(
        self,
        config: Config,
        splits: Splits,
        run: RunDirectory | Path | str,
        *,
        model: Model | None = None,
        device: torch.device | str = "cpu",
        tell: Callable[[str], None] = warn,
    ) -> None:
        self.config = config
        self.splits = splits
        self.run = run if isinstance(run, RunDirectory) else RunDirectory(run)
        self.records = Records(self.run.metrics)
        backend = from_environment(device)
        batch_indices(0, config.training.batch_size, len(splits.train), config.training.seed)
        self._rows = backend.share_of(config.training.batch_size)
        fingerprint, is_new = splits.fingerprint(), not self.run.exists
        with ExitStack() as stack:
            if not is_new:
                self._take_run(stack, backend, fingerprint)
            self.trainer = _trainer(config, splits, model, backend, tell)
            self._check_strides()
            self._description = describe(self.trainer.model, config)
            self.window = Window(len(self.trainer.diffusion.schedule), self.trainer.device)
            self.saved_step = self._restore()
            if backend.is_first and (self.saved_step < config.training.steps):
                # A later end or other intervals are the run's from now on.
                self.run.begin(config, splits.spec, fingerprint)
                if is_new:
                    stack.callback(self.run.lock())
                self.records.cut_after(self.trainer.step)
            self._unlock = stack.pop_all().close
        self._ahead = Ahead(self._items)
        self._clock = (time.perf_counter(), self.trainer.step)

    def _take_run(self, stack: ExitStack, backend: Backend, fingerprint: str) -> None:
        """Lock a run that was begun before; UserError if this configuration or data is not its own."""
        if backend.is_first:
            stack.callback(self.run.lock())
        self.run.check_same(self.config)
        if self.run.latest() is not None:
            self.run.check_data(self.splits.spec, fingerprint)

    def _check_strides(self) -> None:
        training, held_out = self.config.training, self.splits.validation is not None
        for every, steps, field in (
            (held_out and training.validate_every, training.validate_steps, "training.validate_steps"),
            (training.sample_every, training.sample_steps, "training.sample_steps"),
        ):
            try:
                self.trainer.diffusion.strided(steps if every else None)
            except UserError as error:
                raise error.renamed({"steps": field}) from None

    def _restore(self) -> int:
        """Go on from the newest checkpoint, and return its step; -1 without one."""
        state = load_state(self.run, self.config.training.ema_rates)
        if state is None:
            return -1
        check_tensors(self.trainer.network, state.raw, self.run.path)
        self.trainer.restore(state)
        self.window.load_state_dict(dict(state.window))
        return state.step

    def events(self, stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """Yield all that happens until the last step, or until `stop`; see `train_events`."""
        backend = self.trainer.backend
        try:
            for event in self._events():
                yield event
                # Several processes agree after steps: only the first of them comes by the other events.
                agree = backend.count == 1 or isinstance(event, Stepped)
                if agree and backend.any(stop()):
                    if self.saved_step != self.trainer.step:
                        yield self.save()
                    return
        finally:
            self._ahead.end()
            self._unlock()

    def _events(self) -> Iterator[Event]:
        training = self.config.training
        yield from self._validate_and_sample(self.trainer.step)  # what an interruption kept from happening
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
            yield from self._validate_and_sample(step)
        yield Finished(self.trainer.step)

    def _next_batch(self) -> TrainingBatch:
        rows, x_0 = self._ahead.take(self.trainer.step)
        if self.config.data.flip:
            x_0 = self._flipped(x_0)
        return self.trainer.draw(x_0, self.trainer.model.conditions_from(x_0, self.splits.train, rows))

    def _items(self, step: int) -> tuple[Indices, torch.Tensor]:
        """Return what this process trains on at a step: which items, and the items."""
        training, data = self.config.training, self.splits.train
        rows = batch_indices(step, training.batch_size, len(data), training.seed)[self._rows]
        return rows, data.batch(rows)

    def _flipped(self, x_0: torch.Tensor) -> torch.Tensor:
        generator = np.random.default_rng(mixed_seed(self.config.training.seed, self.trainer.step, 4))
        mirrored = torch.from_numpy(generator.random(self.config.training.batch_size)[self._rows] < 0.5)
        return torch.where(mirrored.reshape(-1, *[1] * (x_0.ndim - 1)), x_0.flip(-1), x_0)

    def _log(self, result: StepResult) -> None:
        before, first = self._clock
        self._clock = (time.perf_counter(), self.trainer.step)
        images = (self.trainer.step - first) * self.config.training.batch_size
        record = {
            "step": self.trainer.step,
            **self.window.means(),
            "learning_rate": result.learning_rate,
            "images_per_second": images / max(self._clock[0] - before, 1e-9),
        }
        self.window.clear()
        if self.trainer.backend.is_first:
            self.records.append(record)

    def save(self) -> Saved:
        """Write a checkpoint of now."""
        trainer = self.trainer
        trainer.check()
        state = trainer.capture(self.window.state_dict())
        if trainer.backend.is_first:
            save_state(self.run, state, self._description, self.config.training)
        trainer.backend.wait()
        self.saved_step = trainer.step
        return Saved(trainer.step, self.run.checkpoint(trainer.step))

    def _validate_and_sample(self, step: int) -> Iterator[Event]:
        """Yield validation and samples if they are due at `step` and have not been made."""
        training, last = self.config.training, step == self.config.training.steps

        def is_due(every: int) -> bool:
            return step > 0 and every > 0 and (step % every == 0 or last)

        if self.trainer.backend.is_first:
            if is_due(training.validate_every) and not self._is_validated(step):
                yield from self._validate(step)
            if is_due(training.sample_every):
                for model in (self.trainer.raw_model(), self.trainer.averaged_model()):
                    path = self.run.samples / f"step-{step:08d}-{model.weights.replace(' ', '-')}.png"
                    if not path.exists():
                        yield from self._sample(step, model, path)
        if step > 0 and (last or is_due(training.validate_every) or is_due(training.sample_every)):
            self.trainer.backend.wait()
            self._clock = (time.perf_counter(), step)  # the pace is of training alone

    def _is_validated(self, step: int) -> bool:
        """Return whether validation at a step is done, or cannot be done."""
        validated = (record["step"] for record in self.records.read() if "validation_bits" in record)
        return self.splits.validation is None or step in validated

    @property
    def _evaluation_batch(self) -> int:
        """The items at once without a gradient: no more than a training step's forward pass has, on one device."""
        training = self.config.training
        return min(training.microbatch_size or training.batch_size // self.trainer.backend.count, 256)

    def _validate(self, step: int) -> Iterator[Event]:
        training, data = self.config.training, self.splits.validation
        assert data is not None
        model = self.trainer.averaged_model()
        diffusion = model.diffusion.strided(training.validate_steps)
        count = min(training.validate_count, len(data))
        score = yield from scoring(model, data, diffusion, ScoringOptions(count, batch_size=self._evaluation_batch))
        record = {
            "step": step,
            "validation_bits": score.total.mean,
            "validation_error": score.total.error,
            "validation_steps": len(diffusion.schedule),
            "validation_count": count,
        }
        self.records.append(record)
        yield Validated(step, score)

    def _sample(self, step: int, model: Model, path: Path) -> Iterator[Event]:
        training = self.config.training
        count, size = training.sample_count, self._evaluation_batch
        given = given_from(model, self.splits.validation or self.splits.train, count)
        options = SamplerOptions(training.sample_steps)
        samples = []
        for work in sample_batches(model, count, options, given=given, batch_size=size):
            batch = yield from work
            samples.append(batch.cpu())
        save_grid(path, torch.cat(samples), self.splits.spec)
        yield WroteSamples(step, path)


def _trainer(
    config: Config, splits: Splits, model: Model | None, backend: Backend, tell: Callable[[str], None]
) -> Trainer:
    """Return the trainer of the configuration's model, or of somebody's own."""
    if model is None:
        return Trainer.from_config(config, splits.spec, backend=backend, tell=tell)
    kind, learned = config.objective.kind, model.diffusion.parameterization.variance.is_learned
    if OBJECTIVES.fact(kind, "learned_variance") not in (None, learned):
        what = f"{kind} does not fit the model, whose variance is {'learned' if learned else 'fixed'}"
        raise UserError(what, field="objective.kind", way=f"use {'hybrid' if learned else 'simple'} or vlb")
    timesteps = TIMESTEP_SAMPLERS[config.objective.timesteps](len(model.diffusion.schedule))
    objective = build_objective(config)
    return Trainer(model, config.training, objective=objective, timesteps=timesteps, backend=backend, tell=tell)
