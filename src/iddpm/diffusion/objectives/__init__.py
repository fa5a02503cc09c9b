"""The training objectives, a file each (Section 3.1)."""

from iddpm.diffusion.objectives.hybrid import Hybrid
from iddpm.diffusion.objectives.objective import Losses, Objective
from iddpm.diffusion.objectives.simple import Simple
from iddpm.diffusion.objectives.vlb import VLB

__all__ = ["VLB", "Hybrid", "Losses", "Objective", "Simple"]
