"""The fixed variances, whatever a network has learned."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.readings.reading import Reading
from iddpm.diffusion.reverse import Clip
from iddpm.names import VARIANCES


class FixedReading(Reading):
    """A fixed variance of the chain in use; the network's variance part is ignored."""

    def apply(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        parameterization = replace(diffusion.parameterization, variance=VARIANCES[self.name]())

        def mean_part(x_t: Tensor, timesteps: Tensor) -> Tensor:
            return predict(x_t, timesteps)[:, : x_t.shape[1]]

        return replace(diffusion, parameterization=parameterization), mean_part


class FixedSmallReading(FixedReading):
    """beta-tilde of the chain in use."""

    name = "fixed_small"


class FixedLargeReading(FixedReading):
    """beta of the chain in use."""

    name = "fixed_large"
