"""Ancestral sampling: each x_{t-1} is drawn from p(x_{t-1} | x_t) (Eq. 3)."""

from __future__ import annotations

from torch import Tensor

from iddpm.diffusion.samplers.sampler import Here, Noise, Sampler, Step
from iddpm.diffusion.schedule import NoiseSchedule


class Ancestral(Sampler):
    """The paper's sampler. The last step takes the mean."""

    def begin(self, schedule: NoiseSchedule) -> Step:
        def step(here: Here, noise: Noise) -> Tensor:
            distribution = here.reverse.distribution
            return distribution.sample(noise()) if here.position else distribution.mean

        return step
