"""A sampler: the reverse diffusion sampler of score-based models (Song et al. 2021, Eq. 46)."""

from __future__ import annotations

from torch import Tensor

from iddpm.diffusion import NoiseSchedule, Sampler
from iddpm.diffusion.samplers import Here, Noise, Step
from iddpm.names import SAMPLERS


class ReverseDiffusion(Sampler):
    """Euler-Maruyama steps of the reverse stochastic differential equation, with the score from the prediction."""

    def begin(self, schedule: NoiseSchedule) -> Step:
        betas = schedule.betas.tolist()

        def step(here: Here, noise: Noise) -> Tensor:
            if here.position == 0:
                return here.reverse.x_0
            beta, c = betas[here.position], here.coefficients
            score = (c.sqrt_alpha_bar * here.reverse.x_0 - here.x_t) / c.sqrt_one_minus_alpha_bar**2
            drift = (2.0 - (1.0 - beta) ** 0.5) * here.x_t + beta * score
            return drift + beta**0.5 * noise()

        return step


SAMPLERS.register("reverse", ReverseDiffusion, "reverse diffusion")
