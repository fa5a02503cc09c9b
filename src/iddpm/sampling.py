"""Drawing samples from a model, a batch at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset, scale
from iddpm.diffusion import SamplerState, SeededNoise, ancestral, ddim
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import Stride
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.solvers import dpm_solver, unipc
from iddpm.diffusion.variances import VarianceChoice
from iddpm.errors import UserError
from iddpm.model import Model

SamplerName = Literal["ancestral", "ddim", "dpm++", "dpm++sde", "unipc"]


def check_variance(sampler: SamplerName, name: str) -> None:
    """UserError where a variance of this name is given to a sampler that has none."""
    if sampler != "ancestral":
        raise UserError(f"variance: {name} is for the ancestral sampler; {sampler} has none: leave it out")


@dataclass(frozen=True)
class SamplerOptions:
    """How the chain is walked.

    steps:   a stride of the chain ("50", "10,15,20", "ddim50", timesteps); None takes every step.
    sampler: "ancestral"; "ddim" with its `eta` (0 is deterministic); or "dpm++", "dpm++sde" or "unipc", which use
             earlier predictions too. All take one evaluation of the network a step.
    clip:    bound predictions of x_0 to [-1, 1] at every step, as the authors do; a number is a quantile for dynamic
             thresholding (see `diffusion.reverse.bounded`).
    variance: of ancestral sampling; None takes the network's own.
    """

    steps: Stride | None = None
    sampler: SamplerName = "ancestral"
    eta: float = 0.0
    clip: Clip = True
    variance: VarianceChoice | None = None

    def __post_init__(self) -> None:
        names = get_args(SamplerName)
        if self.sampler not in names:
            raise UserError(f'sampler: "{self.sampler}" is not known; use one of {", ".join(names)}')
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta: must be 0 (no noise) to 1 (ancestral sampling's), got {self.eta:g}")
        if self.eta and self.sampler != "ddim":
            raise UserError(f"eta: is the ddim sampler's; {self.sampler} has no eta, so leave out {self.eta:g}")
        if not isinstance(self.clip, bool) and not 0 < self.clip <= 1:
            raise UserError(
                f"clip: the quantile of dynamic thresholding must be above 0 and at most 1, got {self.clip}"
            )
        if self.variance is not None:
            check_variance(self.sampler, self.variance.name)

    def manifest(self) -> dict[str, Any]:
        """All but the steps, as JSON."""
        variance = "model" if self.variance is None else self.variance.name
        return {"sampler": self.sampler, "eta": self.eta, "clip": self.clip, "variance": variance}


def sample(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    steps: Stride | None = None,
    sampler: SamplerName = "ancestral",
    eta: float = 0.0,
    clip: Clip = True,
    variance: VarianceChoice | None = None,
    classes: Sequence[int] | None = None,
    low_resolution: Tensor | None = None,
    batch_size: int = 64,
) -> Tensor:
    """`count` samples `[count, channels, *size]` in about [-1, 1], on the CPU. See `sample_batches` for a stream.

    Image i depends on `seed` and i, and not on `count` or `batch_size`; see `SamplerOptions` for the others.
    """
    options = SamplerOptions(steps, sampler, eta, clip, variance)
    batches = sample_batches(
        model, count, options, seed=seed, classes=classes, low_resolution=low_resolution, batch_size=batch_size
    )
    return torch.cat([batch.cpu() for batch in batches if batch is not None])


def sample_batches(
    model: Model,
    count: int,
    options: SamplerOptions,
    *,
    first: int = 0,
    seed: int = 0,
    classes: Sequence[int] | None = None,
    low_resolution: Tensor | Callable[[range], Tensor] | None = None,
    batch_size: int = 64,
) -> Iterator[Tensor | None]:
    """Batches `[batch, channels, *size]` in about [-1, 1] on the model's device, and None after every other step.

    first: the image to begin with, where earlier ones of the `count` have been drawn before.
    classes: a label for each image; without, a class-conditional model draws its classes in turn.
    low_resolution: `[count, channels, *smaller size]` in [-1, 1], for an upsampler; or what gives some rows of that.
    Image i's noise comes from a generator seeded with (seed, i): it does not depend on the batch it is drawn in.
    UserError for conditions or a stride that the model does not take.
    """
    if classes is None and model.network.num_classes:
        classes = [row % model.network.num_classes for row in range(count)]
    for name, conditions in (("class", classes), ("low-resolution", low_resolution)):
        if conditions is not None and not callable(conditions) and len(conditions) != count:
            raise UserError(f"{name}: needs one for each of {count} images, got {len(conditions)}")
    diffusion = model.diffusion.strided(options.steps)
    device = model.device
    for start in range(first, count, batch_size):
        rows = range(start, min(start + batch_size, count))
        noise = SeededNoise([mixed_seed(seed, row) for row in rows], model.spec.shape, device)
        labels = None if classes is None else torch.tensor([classes[row] for row in rows], device=device)
        if callable(low_resolution):
            smaller: Tensor | None = low_resolution(rows)
        else:
            smaller = None if low_resolution is None else low_resolution[rows.start : rows.stop]
        predict = model.predict(labels, None if smaller is None else smaller.to(device))
        for state in walk(diffusion, predict, noise, options):
            yield state.x if state.position == 0 else None


class SampleConditions(TypedDict):
    """What the images of a batch of samples are conditioned on; see `sample_batches`."""

    classes: list[int] | None
    low_resolution: Tensor | None


def sample_conditions(model: Model, dataset: Dataset, count: int) -> SampleConditions:
    """Conditions for `count` samples, as many as the model needs: for an upsampler smaller copies of the first items

    of `dataset` (again and again if there are too few) with those items' classes, nothing otherwise.
    """
    if model.config.network.low_resolution is None:
        return {"classes": None, "low_resolution": None}
    rows = np.arange(count) % len(dataset)
    smaller = model.conditions_of(scale(dataset.items(rows), dataset.spec.levels), None)["low_resolution"]
    labels = model.labels_of(dataset, rows)
    return {"classes": None if labels is None else labels.tolist(), "low_resolution": smaller}


def walk(
    diffusion: Diffusion, predict: Predict, noise: Callable[[], Tensor], options: SamplerOptions
) -> Iterator[SamplerState]:
    """`diffusion`'s chain from noise to data; the first noise is x_T. (`options.steps` is the caller's to apply.)"""
    x_T, clip = noise(), options.clip
    if options.sampler == "ddim":
        return ddim(diffusion, predict, x_T, noise, eta=options.eta, clip=clip)
    if options.sampler in ("dpm++", "dpm++sde"):
        return dpm_solver(diffusion, predict, x_T, noise if options.sampler == "dpm++sde" else None, clip=clip)
    if options.sampler == "unipc":
        return unipc(diffusion, predict, x_T, clip=clip)
    if options.variance is not None:
        diffusion, predict = options.variance.applied(diffusion, predict, clip=clip)
    return ancestral(diffusion, predict, x_T, noise, clip=clip)
