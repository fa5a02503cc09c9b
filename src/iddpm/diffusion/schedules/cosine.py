"""The paper's cosine schedule (Eq. 17), with an offset that follows the data's levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from iddpm.diffusion.schedule import NoiseSchedule, from_betas
from iddpm.diffusion.schedules.rule import ScheduleRule
from iddpm.errors import UserError

PAPER_OFFSET = 0.008
"""s of Eq. 17, chosen in the paper for images of 256 grey levels."""
MAX_BETA = 0.999
"""The paper clips beta_t here to avoid a singularity at the end of the cosine schedule."""
NOISE_PER_LEVEL = 0.7
"""sqrt(beta_0) in widths of a grey level where the offset follows the data: "slightly smaller" than one."""
MAX_OFFSET = 1.0
"""Beyond this the cosine has lost its shape: a shorter chain is better than a larger offset."""


@dataclass(frozen=True)
class Cosine(ScheduleRule):
    """The cosine schedule. offset: the paper's s; None chooses it by `cosine_offset`."""

    offset: float | None = None

    @classmethod
    def from_config(cls, config: Any) -> Cosine:
        return cls(config.cosine_offset)

    def schedule(self, num_timesteps: int, levels: int) -> NoiseSchedule:
        return cosine_schedule(num_timesteps, self.offset_for(num_timesteps, levels))

    def offset_for(self, num_timesteps: int, levels: int) -> float:
        """Return the offset that such a chain has on data of so many levels."""
        return cosine_offset(levels, num_timesteps) if self.offset is None else self.offset


def cosine_schedule(num_timesteps: int, offset: float = PAPER_OFFSET) -> NoiseSchedule:
    """Return the paper's cosine schedule (Eq. 17): alpha_bar follows cos^2, beta_t is at most 0.999.

    `offset` is the paper's s; see `cosine_offset` for the one that suits a dataset's grey levels.
    """
    if num_timesteps < 1 or offset < 0:
        raise UserError(
            f"the cosine schedule needs num_timesteps >= 1 and offset >= 0, got {num_timesteps} and {offset}"
        )
    return from_betas([_cosine_beta(i, num_timesteps, offset) for i in range(num_timesteps)])


def _cosine_beta(i: int, num_timesteps: int, offset: float) -> float:
    def curve(t: int) -> float:
        return math.cos((t / num_timesteps + offset) / (1 + offset) * math.pi / 2) ** 2

    return min(1 - curve(i + 1) / curve(i), MAX_BETA)


def cosine_offset(levels: int, num_timesteps: int) -> float:
    """Return s by the paper's rule: sqrt(beta_0) slightly smaller than the width of a level, 2 / (levels - 1).

    256 levels give the paper's own 0.008, whatever T. For others, s is the one at which sqrt(beta_0) is 0.7 widths in
    a chain of `num_timesteps`, at most 1 (coarse data in a long chain) and at least 0 (fine data in a short one).
    """
    if levels == 256:
        return PAPER_OFFSET
    wanted = (NOISE_PER_LEVEL * 2 / (levels - 1)) ** 2
    low, high = 0.0, MAX_OFFSET
    if _cosine_beta(0, num_timesteps, high) <= wanted:
        return high
    if _cosine_beta(0, num_timesteps, low) >= wanted:
        return low
    for _ in range(60):  # beta_0 grows with s
        middle = (low + high) / 2
        low, high = (middle, high) if _cosine_beta(0, num_timesteps, middle) < wanted else (low, middle)
    return high
