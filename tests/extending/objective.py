"""An objective: L_simple with min-SNR weights (Hang et al. 2023), and the bound to teach the variance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from iddpm.diffusion import Diffusion, Hybrid, Losses
from iddpm.names import OBJECTIVES

LARGEST_RATIO = 5.0


class MinSNR(Hybrid):
    """L_hybrid whose simple part weighs a step by min(SNR, 5) / SNR, as it is for a network that predicts eps."""

    @classmethod
    def from_config(cls, config: Any) -> MinSNR:
        return cls(config.vlb_weight)

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        losses = super().__call__(diffusion, output, x_0, x_t, t, noise)
        step = diffusion.schedule.at(t, x_0)
        ratio = (1.0 / step.sqrt_recipm1_alpha_bar**2).flatten()
        weight = torch.clamp(LARGEST_RATIO / ratio, max=1.0)
        return Losses(losses.total + (weight - 1.0) * losses.simple, losses.simple, losses.vlb)


OBJECTIVES.register("min_snr", MinSNR, "L_hybrid with min-SNR weights", learned_variance=True)
