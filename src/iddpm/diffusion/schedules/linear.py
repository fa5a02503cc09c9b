"""Ho et al.'s linear schedule."""

from __future__ import annotations

import torch

from iddpm.diffusion.schedule import NoiseSchedule, from_betas
from iddpm.diffusion.schedules.rule import ScheduleRule
from iddpm.errors import Setting, UserError


class Linear(ScheduleRule):
    """The linear schedule, whatever the data's levels."""

    def schedule(self, num_timesteps: int, levels: int) -> NoiseSchedule:
        return linear_schedule(num_timesteps)


def linear_schedule(num_timesteps: int) -> NoiseSchedule:
    """Return Ho et al.'s linear betas, 1e-4 ... 0.02 at T = 1000, scaled so that any T destroys the data alike."""
    scale = 1000 / num_timesteps
    if scale * 0.02 >= 1.0:
        raise UserError(
            "the linear schedule needs more than 20 steps",
            field="diffusion.num_timesteps",
            value=num_timesteps,
            way=["use ", Setting("diffusion.schedule", "cosine")],
        )
    return from_betas(torch.linspace(scale * 1e-4, scale * 0.02, num_timesteps, dtype=torch.float64))
