"""L_simple, the objective of Ho et al. (Eq. 14)."""

from __future__ import annotations

from torch import Tensor

from iddpm.diffusion.objectives.objective import Losses, Objective, simple_loss
from iddpm.diffusion.process import Diffusion


class Simple(Objective):
    """L_simple, Eq. 14. It cannot teach a variance."""

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        simple = simple_loss(diffusion, diffusion.schedule.at(t, x_0), output, x_0, x_t, noise)
        return Losses(simple, simple, None)
