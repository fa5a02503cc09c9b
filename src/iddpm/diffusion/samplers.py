"""Walking the chain: ancestral sampling, DDIM, and DDIM's way back from data to noise.

Each is a generator that yields a `SamplerState` a step; the last one holds the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip, ReverseStep, reverse_step
from iddpm.diffusion.schedule import StepCoefficients


@dataclass(frozen=True)
class SamplerState:
    """After a step: its position in the chain, the batch `x` it led to, and the prediction of x_0 it was made with."""

    position: int
    x: Tensor
    x_0: Tensor


@torch.no_grad()
def ancestral(
    diffusion: Diffusion, predict: Predict, x_T: Tensor, noise: Callable[[], Tensor], *, clip: Clip = True
) -> Iterator[SamplerState]:
    """Draw x_{t-1} from p(x_{t-1} | x_t), from `x_T` (standard normal) down to data (Eq. 3).

    noise: called at every step but the last for a standard normal tensor of x_T's shape.
    """
    x = x_T
    for position in reversed(range(len(diffusion.schedule))):
        _, reverse = reverse_at(diffusion, predict, x, position, clip)
        x = reverse.distribution.sample(noise()) if position else reverse.distribution.mean
        yield SamplerState(position, x, reverse.x_0)


@torch.no_grad()
def ddim(
    diffusion: Diffusion,
    predict: Predict,
    x_T: Tensor,
    noise: Callable[[], Tensor] | None = None,
    *,
    eta: float = 0.0,
    clip: Clip = True,
) -> Iterator[SamplerState]:
    """DDIM (Song et al. 2020, Eq. 12): deterministic for eta = 0, as noisy as ancestral with beta-tilde for eta = 1.

    noise: needed for eta > 0; called at every step but the last.
    """
    if eta > 0 and noise is None:
        raise ValueError("ddim with eta > 0 needs a source of noise")
    x = x_T
    for position in reversed(range(len(diffusion.schedule))):
        step, reverse = reverse_at(diffusion, predict, x, position, clip)
        eps = (step.sqrt_recip_alpha_bar * x - reverse.x_0) / step.sqrt_recipm1_alpha_bar
        sigma = (
            eta
            * ((1 - step.alpha_bar_prev) / (1 - step.alpha_bar)).sqrt()
            * (1 - step.alpha_bar / step.alpha_bar_prev).sqrt()
        )
        x = reverse.x_0 * step.alpha_bar_prev.sqrt() + (1 - step.alpha_bar_prev - sigma**2).clamp(min=0).sqrt() * eps
        if eta > 0 and position and noise is not None:
            x = x + sigma * noise()
        yield SamplerState(position, x, reverse.x_0)


@torch.no_grad()
def ddim_encode(diffusion: Diffusion, predict: Predict, x_0: Tensor, *, clip: Clip = True) -> Iterator[SamplerState]:
    """The deterministic chain run from data to noise: `ddim` with eta = 0 leads back to about `x_0`."""
    x = x_0
    for position in range(len(diffusion.schedule)):
        step, reverse = reverse_at(diffusion, predict, x, position, clip)
        eps = (step.sqrt_recip_alpha_bar * x - reverse.x_0) / step.sqrt_recipm1_alpha_bar
        x = reverse.x_0 * step.alpha_bar_next.sqrt() + (1 - step.alpha_bar_next).sqrt() * eps
        yield SamplerState(position, x, reverse.x_0)


def reverse_at(
    diffusion: Diffusion, predict: Predict, x: Tensor, position: int, clip: Clip
) -> tuple[StepCoefficients, ReverseStep]:
    """The network asked about `x` at one step of the chain: p(x_{t-1} | x_t), and the step's coefficients."""
    schedule = diffusion.schedule
    step = schedule.at_position(position, x)
    output = predict(x, schedule.timestep(position, x.device))
    return step, reverse_step(step, diffusion.parameterization, output, x, clip=clip)
