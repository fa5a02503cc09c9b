"""DDIM (Song et al. 2020), and the way back from data to noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.samplers.sampler import Here, Noise, Sampler, SamplerState, Step, reverse_at
from iddpm.diffusion.schedule import NoiseSchedule, StepCoefficients
from iddpm.errors import UserError


@dataclass(frozen=True)
class DDIM(Sampler):
    """DDIM (its Eq. 12). eta: 0 is deterministic, 1 as noisy as ancestral sampling with beta-tilde."""

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise UserError(
                "must be 0 (no noise) to 1 (as much as ancestral sampling)", field="eta", value=f"{self.eta:g}"
            )

    def begin(self, schedule: NoiseSchedule) -> Step:
        def step(here: Here, noise: Noise) -> Tensor:
            c, x_0 = here.coefficients, here.reverse.x_0
            sigma = (
                self.eta
                * ((1 - c.alpha_bar_prev) / (1 - c.alpha_bar)).sqrt()
                * (1 - c.alpha_bar / c.alpha_bar_prev).sqrt()
            )
            eps = _eps(c, here.x_t, x_0)
            x = x_0 * c.alpha_bar_prev.sqrt() + (1 - c.alpha_bar_prev - sigma**2).clamp(min=0).sqrt() * eps
            return x + sigma * noise() if self.eta > 0 and here.position else x

        return step


def _eps(c: StepCoefficients, x_t: Tensor, x_0: Tensor) -> Tensor:
    """Return the noise that leads from x_0 to x_t (Eq. 9)."""
    return (c.sqrt_recip_alpha_bar * x_t - x_0) / c.sqrt_recipm1_alpha_bar


@torch.no_grad()
def ddim_encode(diffusion: Diffusion, predict: Predict, x_0: Tensor, *, clip: Clip = True) -> Iterator[SamplerState]:
    """Walk the deterministic chain from data to noise: DDIM with eta = 0 leads back to about `x_0`."""
    x = x_0
    for position in range(len(diffusion.schedule)):
        c, reverse = reverse_at(diffusion, predict, x, position, clip)
        x = reverse.x_0 * c.alpha_bar_next.sqrt() + (1 - c.alpha_bar_next).sqrt() * _eps(c, x, reverse.x_0)
        yield SamplerState(position, x, reverse.x_0)
