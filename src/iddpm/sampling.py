"""Drawing samples from a model, a batch at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from iddpm.diffusion import Diffusion, SamplerState, SeededNoise, ancestral, ddim
from iddpm.diffusion.process import Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError

if TYPE_CHECKING:
    from iddpm.model import Model

SamplerName = Literal["ancestral", "ddim"]


def sample_batches(
    model: Model,
    count: int,
    *,
    seed: int,
    diffusion: Diffusion,
    sampler: SamplerName,
    eta: float,
    clip: bool,
    classes: Sequence[int] | None,
    low_resolution: Tensor | None,
    batch_size: int,
) -> Iterator[Tensor | None]:
    """Batches `[batch, channels, *size]` in about [-1, 1] on the model's device, and None after every other step.

    Image i's noise comes from a generator seeded with (seed, i): it does not depend on the batch it is drawn in.
    """
    if sampler == "ancestral" and eta:
        raise UserError(f"eta: {eta} belongs to the ddim sampler; use --sampler ddim")
    for name, conditions in (("class", classes), ("low-resolution", low_resolution)):
        if conditions is not None and len(conditions) != count:
            raise UserError(f"{name}: needs one for each of {count} images, got {len(conditions)}")
    device = model.device
    for start in range(0, count, batch_size):
        rows = range(start, min(start + batch_size, count))
        noise = SeededNoise([mixed_seed(seed, row) for row in rows], model.spec.shape, device)
        labels = None if classes is None else torch.tensor([classes[row] for row in rows], device=device)
        smaller = None if low_resolution is None else low_resolution[rows.start : rows.stop].to(device)
        predict = model.predict(labels, smaller)
        for state in walk(diffusion, predict, noise, sampler=sampler, eta=eta, clip=clip):
            yield state.x if state.position == 0 else None


def walk(
    diffusion: Diffusion,
    predict: Predict,
    noise: Callable[[], Tensor],
    *,
    sampler: SamplerName,
    eta: float = 0.0,
    clip: bool = True,
) -> Iterator[SamplerState]:
    """The chain from noise to data by the named sampler; the first noise is x_T."""
    x_T = noise()
    if sampler == "ddim":
        return ddim(diffusion, predict, x_T, noise, eta=eta, clip=clip)
    return ancestral(diffusion, predict, x_T, noise, clip=clip)
