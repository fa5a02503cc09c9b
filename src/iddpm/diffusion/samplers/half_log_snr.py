"""The chain in lambda = log(alpha / sigma), in which solvers treat it as a differential equation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from iddpm.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class NoiseLevel:
    """The noise in a step's x_t: alpha, sigma, and lambda = log(alpha / sigma)."""

    alpha: float
    sigma: float
    log_ratio: float


def noise_levels(schedule: NoiseSchedule) -> list[NoiseLevel]:
    """Return the noise level of every step: alpha^2 = alpha_bar and sigma^2 = 1 - alpha_bar."""
    levels = []
    for alpha_bar in schedule.alpha_bar.tolist():
        alpha, sigma = math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar)
        levels.append(NoiseLevel(alpha, sigma, math.log(alpha) - math.log(sigma)))
    return levels
