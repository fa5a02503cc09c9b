"""The noise schedules, a file each (Section 3.2)."""

from iddpm.diffusion.schedules.cosine import Cosine, cosine_offset, cosine_schedule
from iddpm.diffusion.schedules.linear import Linear, linear_schedule
from iddpm.diffusion.schedules.rule import ScheduleRule

__all__ = ["Cosine", "Linear", "ScheduleRule", "cosine_offset", "cosine_schedule", "linear_schedule"]
