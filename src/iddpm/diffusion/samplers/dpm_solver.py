"""DPM-Solver++ (2M) and its stochastic variant (Lu et al. 2022): of second order, with the prediction before."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from iddpm.diffusion.samplers.half_log_snr import noise_levels
from iddpm.diffusion.samplers.sampler import Here, Noise, Sampler, Step
from iddpm.diffusion.schedule import NoiseSchedule


class DPMSolver(Sampler):
    """DPM-Solver++ (2M), deterministic."""

    is_stochastic: ClassVar[bool] = False

    def begin(self, schedule: NoiseSchedule) -> Step:
        levels = noise_levels(schedule)
        before: tuple[float, Tensor] | None = None  # lambda and the prediction of the step before

        def step(here: Here, noise: Noise) -> Tensor:
            nonlocal before
            x_0 = here.reverse.x_0
            if here.position == 0:
                return x_0  # where sigma is 0 the first-order step gives the prediction itself
            start, end = levels[here.position], levels[here.position - 1]
            h = end.log_ratio - start.log_ratio
            target = x_0
            if before is not None:
                target = x_0 + (x_0 - before[1]) * (h / (2.0 * (start.log_ratio - before[0])))
            before = start.log_ratio, x_0
            kept = end.sigma / start.sigma
            if not self.is_stochastic:
                return kept * here.x_t - end.alpha * math.expm1(-h) * target
            new = -math.expm1(-2.0 * h)
            return kept * math.exp(-h) * here.x_t + end.alpha * new * target + end.sigma * math.sqrt(new) * noise()

        return step


class DPMSolverSDE(DPMSolver):
    """SDE-DPM-Solver++ (2M): it draws noise at every step but the last."""

    is_stochastic = True
