"""Draw samples from a model, a batch at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset
from iddpm.diffusion import Reading, Sampler, SamplerState, SeededNoise, walk
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import Stride
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.samplers import Noise, sampler_named
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.names import MODEL, SAMPLERS
from iddpm.networks.unet import NONE
from iddpm.progress import Progress, Work, finish


@dataclass(frozen=True)
class SamplerOptions:
    """The way the chain is walked.

    steps:   a stride of the chain ("50", "10,15,20", "ddim50", timesteps); None takes every step.
    sampler: a name in `names.SAMPLERS`; each takes one evaluation of the network a step.
    eta:     noise of the sampler "ddim", 0 (none) to 1; None for others.
    clip:    bound predictions of x_0 to [-1, 1] at every step, as the authors do; a number is a quantile for dynamic
             thresholding (see `diffusion.reverse.bounded`).
    reading: of a sampler that uses the variance of p(x_{t-1} | x_t): another variance than the network's own.
    """

    steps: Stride | None = None
    sampler: str = "ancestral"
    eta: float | None = None
    clip: Clip = True
    reading: Reading | None = None

    def __post_init__(self) -> None:
        self.make_sampler()
        if not isinstance(self.clip, bool) and not 0 < self.clip <= 1:
            raise UserError(
                "the quantile of dynamic thresholding must be above 0 and at most 1", field="clip", value=self.clip
            )
        if self.reading is not None:
            check_reading(self.sampler, self.reading.name)

    def make_sampler(self) -> Sampler:
        """Return the sampler; UserError for one that is not known, or has no eta."""
        return sampler_named(self.sampler, eta=self.eta)

    def manifest(self) -> dict[str, Any]:
        """Return all but the steps, as JSON."""
        variance = MODEL if self.reading is None else self.reading.name
        return {"sampler": self.sampler, "eta": self.eta or 0.0, "clip": self.clip, "variance": variance}


def check_reading(sampler: str, name: str) -> None:
    """Raise UserError if a variance of this name is chosen for a sampler that has none."""
    if not SAMPLERS.fact(sampler, "uses_variance", False):
        raise UserError(f"the sampler {sampler} has no variance", field="variance", value=name, way="leave it out")


def sample(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    steps: Stride | None = None,
    sampler: str = "ancestral",
    eta: float | None = None,
    clip: Clip = True,
    reading: Reading | None = None,
    batch_size: int = 64,
    **conditions: Any,
) -> Tensor:
    """Return `count` samples `[count, channels, *size]` in about [-1, 1], on the CPU.

    Sample i depends on `seed` and i, and not on `count` or `batch_size`; see `SamplerOptions` for the other options.
    conditions: by name, as in `classes="cat"` (a name or number for all, or one for each); see `conditions`.
    """
    options = SamplerOptions(steps, sampler, eta, clip, reading)
    batches = sample_batches(model, count, options, seed=seed, given=conditions, batch_size=batch_size)
    return torch.cat([finish(batch).cpu() for batch in batches])


def sample_batches(
    model: Model,
    count: int,
    options: SamplerOptions,
    *,
    first: int = 0,
    seed: int = 0,
    given: Mapping[str, Any] = NONE,
    batch_size: int = 64,
) -> Iterator[Work[Tensor]]:
    """Return the work of one batch after another: `[batch, channels, *size]` in about [-1, 1] on the model's device.

    first: the sample to begin with, if earlier ones of the `count` have been drawn before.
    given: conditions by name as users give them (see `Condition.for_samples`); classes, if not given, are all in turn.
    Sample i's noise comes from a generator seeded with (seed, i): it does not depend on the batch it is drawn in.
    UserError for conditions or a stride that the model does not take.
    """
    if count < 1 or batch_size < 1:
        field = "count" if count < 1 else "batch_size"
        raise UserError("must be at least 1", field=field, value=min(count, batch_size))
    conditions = model.conditions_for(given, count)
    diffusion = model.diffusion.strided(options.steps)
    steps, starts = len(diffusion.schedule), range(first, count, batch_size)

    def batch(number: int, rows: range) -> Work[Tensor]:
        noise = SeededNoise([mixed_seed(seed, row) for row in rows], model.spec.shape, model.device)
        states = walk_with(options, diffusion, model.predict(conditions(rows)), noise)
        for state in states:
            x = state.x
            yield Progress("sampling", (number + 1) * steps - state.position, len(starts) * steps)
        return x

    return (batch(i, range(start, min(start + batch_size, count))) for i, start in enumerate(starts))


def walk_with(options: SamplerOptions, diffusion: Diffusion, predict: Predict, noise: Noise) -> Iterator[SamplerState]:
    """Walk `diffusion`'s chain from noise to data; the first noise is x_T, and the caller applies `steps`."""
    if options.reading is not None:
        diffusion, predict = options.reading.apply(diffusion, predict, clip=options.clip)
    return walk(diffusion, predict, options.make_sampler(), noise(), noise, clip=options.clip)


def given_from(model: Model, dataset: Dataset, count: int) -> dict[str, Tensor]:
    """Return conditions for `count` samples from the first items of a dataset, again and again if there are too few.

    They are for models with a condition that only data gives (an upsampler); empty for other models.
    """
    if not any(condition.needs_data for condition in model.conditions.values()):
        return {}
    rows = np.arange(count) % len(dataset)
    return dict(model.conditions_from(dataset.batch(rows), dataset, rows))
