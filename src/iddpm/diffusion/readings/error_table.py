"""Variances from a network's errors on held-out data (Bao et al. 2022).

Given x_t, the best variance of a jump from t to s is beta-tilde + c^2 E[(x_0 - predicted x_0)^2 | x_t], where c is the
weight of x_0 in the posterior's mean and both are the jump's own. The expected error is known by t alone ("analytic"),
or by t and what the network's own variance says ("calibrated").
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.readings.reading import ExpectedError, Reading
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.schedule import NoiseSchedule

ANALYTIC, CALIBRATED = "analytic", "calibrated"


@dataclass(frozen=True, eq=False)
class ErrorTable(Reading):
    """The variance from squared errors of x_0 on data: "analytic" (one bin) or "calibrated" (by what is said).

    timesteps: int64 `[K]`, increasing, the original ones that were looked at; between them errors are interpolated.
    errors:    `[K, bins]`, mean squared errors of x_0. decoder: `[K, bins]`, the best variances of the decoder there.
    """

    name: str
    timesteps: Tensor
    errors: Tensor
    decoder: Tensor

    def apply(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        own = diffusion.parameterization
        bins = self.errors.shape[1]
        table = self.of_chain(diffusion.schedule)
        on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

        def with_errors(x_t: Tensor, timesteps: Tensor) -> Tensor:
            if x_t.device not in on_device:
                on_device[x_t.device] = (diffusion.schedule.timesteps.to(x_t.device), table.to(x_t.device))
            steps, values = on_device[x_t.device]
            parts = own.split(predict(x_t, timesteps), x_t.shape[1])
            row = torch.searchsorted(steps, timesteps).reshape(-1, *[1] * (x_t.ndim - 1))
            said = own.variance.said(parts.variance)
            column = 0 if said is None or bins == 1 else own.variance.bins.index(said)
            errors = torch.take(values, row * bins + column).to(x_t.dtype)
            return torch.cat([parts.mean, errors.expand_as(x_t)], dim=1)

        return replace(diffusion, parameterization=Parameterization(own.prediction, ExpectedError())), with_errors

    def of_chain(self, schedule: NoiseSchedule) -> Tensor:
        """Return `[steps, bins]`: the errors at the chain's steps, and at its first one the decoder's variances."""
        measured, wanted = self.timesteps.double(), schedule.timesteps.double()
        right = torch.searchsorted(measured, wanted).clamp(1, max(1, len(measured) - 1)).clamp(max=len(measured) - 1)
        left = (right - 1).clamp(min=0)
        share = ((wanted - measured[left]) / (measured[right] - measured[left]).clamp(min=1.0)).clamp(0.0, 1.0)[:, None]
        table = torch.lerp(self.errors.double().log()[left], self.errors.double().log()[right], share).exp()
        decoder = self.decoder.double().log()
        table[0] = torch.lerp(decoder[left[0]], decoder[right[0]], share[0]).exp()
        return table.float()

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {"timesteps": self.timesteps, "errors": self.errors, "decoder": self.decoder}
