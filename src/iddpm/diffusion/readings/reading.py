"""The abstract reading of a network: another meaning for its output, found after training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from iddpm.diffusion.parameterization import Spread, Variance
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.schedule import StepCoefficients
from iddpm.names import READINGS


class Reading(ABC):
    """A trained network read otherwise than it was made, such as with another variance.

    To add one: write `apply`; give it a row in `names.READINGS`.
    """

    name: str
    evaluations = 1
    """Evaluations of the network that a step takes."""

    @abstractmethod
    def apply(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        """Return the diffusion and the network as this reading has them. `diffusion` is on the steps to be taken."""


def reading_named(name: str, *, seed: int = 0) -> Reading:
    """Return the reading of that name in `names.READINGS`, with the seed if it draws; not one that a plan holds."""
    reading: Reading = READINGS[name](seed) if READINGS.fact(name, "seeded", False) else READINGS[name]()
    return reading


class ExpectedError(Variance):
    """The part is the expected squared error of x_0: sigma^2 = beta-tilde + c^2 part, for whichever jump.

    At the chain's first step beta-tilde is 0 and c is 1: the part is the decoder's variance.
    """

    is_learned = True

    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        raise TypeError("a variance from expected errors is not a line in what the network says")

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        assert part is not None
        own = torch.exp(step.posterior_log_variance) * (1.0 - step.is_first)
        return torch.log(own + step.posterior_x_0**2 * part)
