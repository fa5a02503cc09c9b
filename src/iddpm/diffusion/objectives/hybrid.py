"""L_hybrid, the paper's objective (Eq. 16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from iddpm.diffusion.objectives.objective import Losses, Objective, simple_loss, whole_bound
from iddpm.diffusion.process import Diffusion


@dataclass(frozen=True)
class Hybrid(Objective):
    """L_hybrid = L_simple + vlb_weight * L_vlb (Eq. 16), where the bound teaches the variance only.

    vlb_weight: the paper's lambda = 0.001. It weighs the whole K-term bound in bits/dim, not one term of it, and not
    nats. The gradient of the bound is stopped at the mean.
    """

    vlb_weight: float = 1e-3

    @classmethod
    def from_config(cls, config: Any) -> Hybrid:
        return cls(config.vlb_weight)

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        step = diffusion.schedule.at(t, x_0)
        channels = x_0.shape[1]
        mean_stopped = torch.cat([output[:, :channels].detach(), output[:, channels:]], dim=1)
        simple = simple_loss(diffusion, step, output, x_0, x_t, noise)
        vlb = whole_bound(diffusion, step, mean_stopped, x_0, x_t)
        return Losses(simple + self.vlb_weight * vlb, simple, vlb)
