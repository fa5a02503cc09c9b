"""The abstract schedule, for chains of any length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from iddpm.diffusion.schedule import NoiseSchedule


class ScheduleRule(ABC):
    """A rule that gives the betas of a chain of any length.

    To add one: write `schedule` (see `from_betas`), and `from_config` if the configuration has options for it; give it
    a row in `names.SCHEDULES`.
    """

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Return the rule that the section `diffusion` of a configuration describes."""
        return cls()

    @abstractmethod
    def schedule(self, num_timesteps: int, levels: int) -> NoiseSchedule:
        """Return the chain of `num_timesteps` steps for data of so many levels. UserError for one that cannot be."""
