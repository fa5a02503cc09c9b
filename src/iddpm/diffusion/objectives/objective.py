"""The abstract training objective, and the two losses that the paper's are made of (Section 3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from iddpm.diffusion.likelihood import mean_over_elements, term_bits
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.reverse import reverse_step
from iddpm.diffusion.schedule import StepCoefficients


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, each `[batch]`.

    total:  what is minimised.
    simple: mean squared error of the prediction (Eq. 14).
    vlb:    K times the sampled term of the bound, in bits/dim: over uniform t its mean estimates the whole bound
            (but for the prior, which no network changes). None where the objective has no use for it.
    """

    total: Tensor
    simple: Tensor
    vlb: Tensor | None


class Objective(ABC):
    """The loss of every item in a batch, from the network's output.

    To add one: write `__call__`, and `from_config` if the configuration has options for it; give it a row in
    `names.OBJECTIVES` with the fact `learned_variance` if it needs, or cannot teach, a learned variance.
    """

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Return the objective that the section `objective` of a configuration describes."""
        return cls()

    @abstractmethod
    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        """Return the losses of the network's `output` at `x_t`, made at steps `t` (int `[batch]`)."""


def simple_loss(
    diffusion: Diffusion, step: StepCoefficients, output: Tensor, x_0: Tensor, x_t: Tensor, noise: Tensor
) -> Tensor:
    """Return L_simple, the mean squared error of the prediction, `[batch]` (Eq. 14)."""
    part = diffusion.parameterization.split(output, x_0.shape[1]).mean
    target = diffusion.parameterization.prediction.target(step, x_0, x_t, noise)
    return mean_over_elements((target - part) ** 2)


def whole_bound(diffusion: Diffusion, step: StepCoefficients, output: Tensor, x_0: Tensor, x_t: Tensor) -> Tensor:
    """Return K times the term of the bound at each row's step, in bits/dim `[batch]` (Eq. 4)."""
    reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=False)
    return len(diffusion.schedule) * term_bits(step, reverse, x_0, x_t, diffusion.decoder)
