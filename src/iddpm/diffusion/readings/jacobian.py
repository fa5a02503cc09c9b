"""The variance from how the prediction answers a small change of x_t."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.readings.reading import ExpectedError, Reading
from iddpm.diffusion.reverse import Clip, bounded

PROBE = 0.02
"""Distance of the probe from x_t, in standard deviations of its noise."""
SMALLEST = 0.1
"""The least variance at the data's end, in half levels squared."""


@dataclass(frozen=True)
class Jacobian(Reading):
    """The diagonal of (1 - alpha_bar) / sqrt(alpha_bar) dx_0/dx_t, which is the variance of x_0 given x_t.

    One more evaluation a step: x_t is moved a little in a random direction of signs, and each element's answer to its
    own movement is taken (Hutchinson's estimate of a diagonal, by a finite difference). The signs depend on the seed
    and the timestep.
    """

    seed: int = 0
    name: str = "jacobian"
    evaluations = 2

    def apply(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        own = diffusion.parameterization
        schedule = diffusion.schedule
        least = (SMALLEST / (diffusion.decoder.levels - 1)) ** 2

        def signs_of(timestep: int, shape: torch.Size) -> Tensor:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, timestep))
            return torch.randint(0, 2, shape, generator=generator) * 2 - 1

        def with_errors(x_t: Tensor, timesteps: Tensor) -> Tensor:
            positions = torch.searchsorted(schedule.timesteps.to(x_t.device), timesteps)
            step = schedule.at(positions, x_t)

            def x_0(x: Tensor) -> tuple[Tensor, Tensor]:
                mean = own.split(predict(x, timesteps), x.shape[1]).mean
                return mean, bounded(own.prediction.x_0(step, mean, x), clip)

            signs = torch.stack([signs_of(timestep, x_t.shape[1:]) for timestep in timesteps.tolist()]).to(x_t)
            distance = PROBE * step.sqrt_one_minus_alpha_bar
            mean, here = x_0(x_t)
            _, there = x_0(x_t + distance * signs)
            slope = signs * (there - here) / distance
            variance = slope * (1 - step.alpha_bar) / step.sqrt_alpha_bar
            return torch.cat([mean, variance.clamp(min=least)], dim=1)

        return replace(diffusion, parameterization=Parameterization(own.prediction, ExpectedError())), with_errors
