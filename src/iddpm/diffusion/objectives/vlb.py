"""L_vlb, the bound itself (Eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from iddpm.diffusion.objectives.objective import Losses, Objective, simple_loss, whole_bound
from iddpm.diffusion.process import Diffusion


class VLB(Objective):
    """L_vlb, Eq. 4: the bound itself, in bits/dim."""

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        step = diffusion.schedule.at(t, x_0)
        vlb = whole_bound(diffusion, step, output, x_0, x_t)
        with torch.no_grad():
            simple = simple_loss(diffusion, step, output, x_0, x_t, noise)
        return Losses(vlb, simple, vlb)
