"""A diffusion: the chain, how the network's output is read, and how data is decoded at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from iddpm.diffusion.decoder import Discretized
from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.respacing import Stride, strided
from iddpm.diffusion.schedule import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]
"""(x_t `[batch, channels, *size]`, original timesteps int64) -> output: a network with its conditions bound.

Timesteps are `[1]`, one for the batch, so that whatever depends on it alone is computed once; or `[batch]`.
"""


@dataclass(frozen=True)
class Diffusion:
    """All that turns a network's output into a generative model.

    decoder: the likelihood of data at the chain's end; its levels are the data's (256 for 8-bit images).
    """

    schedule: NoiseSchedule
    parameterization: Parameterization
    decoder: Discretized = field(default_factory=Discretized)

    def strided(self, stride: Stride | None) -> Diffusion:
        """Return the diffusion on fewer steps (see `kept_timesteps`); on all of them for None."""
        return self if stride is None else replace(self, schedule=strided(self.schedule, stride))
