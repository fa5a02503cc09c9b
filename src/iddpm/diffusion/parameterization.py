"""The meaning of a network's output: the prediction in its mean part, and the variance in its other part.

A `Prediction` turns the mean part into x_0 and says what L_simple compares it with; a `Variance` turns the variance
part, if there is one, into log sigma_t^2. Both are values without state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from iddpm.diffusion.forward import posterior
from iddpm.diffusion.schedule import StepCoefficients
from iddpm.errors import UserError
from iddpm.names import PREDICTIONS, VARIANCES


class Prediction(ABC):
    """The meaning of the output's mean part `[batch, channels, *size]`."""

    is_of_one_chain = False
    """True if the mean part belongs to the chain that was trained on, so that no steps of it can be left out."""

    @abstractmethod
    def x_0(self, step: StepCoefficients, part: Tensor, x_t: Tensor) -> Tensor:
        """Return the predicted x_0."""

    @abstractmethod
    def target(self, step: StepCoefficients, x_0: Tensor, x_t: Tensor, noise: Tensor) -> Tensor:
        """Return what a perfect mean part would be: L_simple is the mean squared distance to it."""

    def mean(self, step: StepCoefficients, part: Tensor, x_0: Tensor, x_t: Tensor) -> Tensor:
        """Return the mean of p(x_{t-1} | x_t): Eq. 11 with the predicted (perhaps clipped) x_0."""
        return posterior(step, x_0, x_t).mean


class Noise(Prediction):
    """The network predicts eps, the noise in x_t (Eq. 13): the paper's choice."""

    def x_0(self, step: StepCoefficients, part: Tensor, x_t: Tensor) -> Tensor:
        return step.sqrt_recip_alpha_bar * x_t - step.sqrt_recipm1_alpha_bar * part

    def target(self, step: StepCoefficients, x_0: Tensor, x_t: Tensor, noise: Tensor) -> Tensor:
        return noise


class Data(Prediction):
    """The network predicts x_0 itself."""

    def x_0(self, step: StepCoefficients, part: Tensor, x_t: Tensor) -> Tensor:
        return part

    def target(self, step: StepCoefficients, x_0: Tensor, x_t: Tensor, noise: Tensor) -> Tensor:
        return x_0


class Velocity(Prediction):
    """The network predicts v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022)."""

    def x_0(self, step: StepCoefficients, part: Tensor, x_t: Tensor) -> Tensor:
        return step.sqrt_alpha_bar * x_t - step.sqrt_one_minus_alpha_bar * part

    def target(self, step: StepCoefficients, x_0: Tensor, x_t: Tensor, noise: Tensor) -> Tensor:
        return step.sqrt_alpha_bar * noise - step.sqrt_one_minus_alpha_bar * x_0


class Previous(Prediction):
    """The network predicts the mean of x_{t-1} directly."""

    is_of_one_chain = True

    def x_0(self, step: StepCoefficients, part: Tensor, x_t: Tensor) -> Tensor:
        return (part - step.posterior_x_t * x_t) / step.posterior_x_0

    def target(self, step: StepCoefficients, x_0: Tensor, x_t: Tensor, noise: Tensor) -> Tensor:
        return posterior(step, x_0, x_t).mean

    def mean(self, step: StepCoefficients, part: Tensor, x_0: Tensor, x_t: Tensor) -> Tensor:
        return part


class Spread(NamedTuple):
    """A log variance as a line in what the network says, `said`: offset + slope * said."""

    offset: Tensor
    slope: Tensor


@dataclass(frozen=True)
class Bins:
    """`count` bins of what networks say of their variance; nearly all of it lies in [low, high]."""

    low: float
    high: float
    count: int

    def index(self, said: Tensor) -> Tensor:
        """Return the bin of each value; the outermost bins take what lies beyond."""
        return ((said - self.low) * (self.count / (self.high - self.low))).long().clamp(0, self.count - 1)


class Variance(ABC):
    """The meaning of the output's variance part, `[batch, channels, *size]` where `is_learned`."""

    is_learned: bool
    bins = Bins(0.0, 1.0, 1)
    """Bins of `said` in which errors are counted; a single one where nothing is said."""

    @abstractmethod
    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        """Return log sigma_t^2, in a shape that broadcasts over the data."""

    @abstractmethod
    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        """Return the log variance of jumps with these variances of the forward step and of its posterior."""

    def said(self, part: Tensor | None) -> Tensor | None:
        """Return what the network says of the variance, independent of the chain; None where it says nothing."""
        return part


class FixedSmall(Variance):
    """sigma_t^2 = beta-tilde_t of the chain in use."""

    is_learned = False

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        return step.posterior_log_variance

    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        return Spread(log_beta_tilde, torch.zeros_like(log_beta))


class FixedLarge(Variance):
    """sigma_t^2 = beta_t of the chain in use (beta-tilde of the second step at the first)."""

    is_learned = False

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        return step.fixed_large_log_variance

    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        return Spread(log_beta, torch.zeros_like(log_beta))


class Learned(Variance):
    """The output is log sigma_t^2 itself."""

    is_learned = True
    bins = Bins(-24.0, 4.0, 512)

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        assert part is not None
        return part

    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        return Spread(torch.zeros_like(log_beta), torch.ones_like(log_beta))


class LearnedRange(Variance):
    """The paper's: interpolated in log space between beta-tilde_t and beta_t of the chain in use (Eq. 15).

    The output -1 gives beta-tilde_t, +1 gives beta_t; it is not bounded.
    """

    is_learned = True
    bins = Bins(-1.0, 2.0, 128)

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        assert part is not None
        fraction = (part + 1.0) / 2.0
        return fraction * step.log_beta + (1.0 - fraction) * step.posterior_log_variance

    def spread(self, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
        return Spread(log_beta_tilde, log_beta - log_beta_tilde)

    def said(self, part: Tensor | None) -> Tensor | None:
        return None if part is None else (part + 1.0) / 2.0


class OutputParts(NamedTuple):
    """A network's output taken apart; `variance` is None where it is not learned."""

    mean: Tensor
    variance: Tensor | None


@dataclass(frozen=True)
class Parameterization:
    """The meaning of the network's output: a prediction and a variance."""

    prediction: Prediction
    variance: Variance

    @classmethod
    def named(cls, prediction: str = "eps", variance: str = "learned_range") -> Parameterization:
        """Return the parameterization of these names in `names.PREDICTIONS` and `names.VARIANCES`."""
        return cls(PREDICTIONS[prediction](), VARIANCES[variance]())

    def output_channels(self, channels: int) -> int:
        """Return how many channels the network must emit for data of `channels`: twice as many to learn a variance."""
        return 2 * channels if self.variance.is_learned else channels

    def split(self, output: Tensor, channels: int) -> OutputParts:
        """Split the output `[batch, output_channels, *size]` into its mean part and its variance part."""
        expected = self.output_channels(channels)
        if output.shape[1] != expected:
            raise UserError(
                f"the network's output has {output.shape[1]} channels, and this parameterization reads {expected}"
            )
        return OutputParts(output[:, :channels], output[:, channels:] if self.variance.is_learned else None)
