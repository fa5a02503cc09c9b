"""A schedule: alpha_bar falls like a sigmoid (Jabri et al. 2022)."""

from __future__ import annotations

import torch

from iddpm.diffusion import NoiseSchedule, ScheduleRule, from_betas
from iddpm.names import SCHEDULES

START, END = -3.0, 3.0
LARGEST_BETA = 0.999


class Sigmoid(ScheduleRule):
    """The sigmoid schedule from -3 to 3, whatever the data's levels."""

    def schedule(self, num_timesteps: int, levels: int) -> NoiseSchedule:
        time = torch.linspace(0.0, 1.0, num_timesteps + 1, dtype=torch.float64)
        curve = torch.sigmoid(-(START + time * (END - START)))
        alpha_bar = (curve - curve[-1]) / (curve[0] - curve[-1])
        return from_betas((1.0 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=LARGEST_BETA))


SCHEDULES.register("sigmoid", Sigmoid, "alpha_bar falls like a sigmoid")
