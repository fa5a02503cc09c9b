"""A diagonal Gaussian as a value: its samples, densities and divergences, element by element and in nats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_FLOOR = 1e-12
"""Probabilities are not taken below this before their logarithm, as in the authors' implementation."""


@dataclass(frozen=True)
class Gaussian:
    """N(mean, exp(log_variance)), independent in every element.

    `mean` has the shape of the data `[batch, channels, *size]`; `log_variance` (natural logarithm) has that shape
    or one that broadcasts to it.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + sigma * noise, for standard normal `noise` of the data's shape."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def log_density(self, x: Tensor) -> Tensor:
        """Return log N(x; mean, variance) in nats, element by element."""
        return -0.5 * (math.log(2 * math.pi) + self.log_variance + (x - self.mean) ** 2 * torch.exp(-self.log_variance))

    def kl(self, other: Gaussian) -> Tensor:
        """Return KL(self || other) in nats, element by element."""
        return 0.5 * (
            -1.0
            + other.log_variance
            - self.log_variance
            + torch.exp(self.log_variance - other.log_variance)
            + (self.mean - other.mean) ** 2 * torch.exp(-other.log_variance)
        )

    def discretized_log_likelihood(self, x: Tensor, levels: int) -> Tensor:
        """Return the log of the Gaussian's mass in the bin of each value of `x`, in nats (Eq. 5).

        `x` holds data scaled to [-1, 1] on `levels` evenly spaced values, so a bin is 2 / (levels - 1) wide; the
        first bin reaches to minus infinity and the last one to plus infinity. The normal distribution function is
        the tanh approximation of the authors' implementation, which the published bits/dim were measured with.
        """
        half_bin = 1.0 / (levels - 1)
        inverse_sigma = torch.exp(-0.5 * self.log_variance)
        centred = x - self.mean
        cdf_upper = _normal_cdf(inverse_sigma * (centred + half_bin))
        cdf_lower = _normal_cdf(inverse_sigma * (centred - half_bin))
        outermost = 1.0 - 0.255 * half_bin  # 0.999 for 256 levels, as published
        mass = torch.where(
            x < -outermost, cdf_upper, torch.where(x > outermost, 1.0 - cdf_lower, cdf_upper - cdf_lower)
        )
        return torch.log(mass.clamp(min=LOG_FLOOR))


def _normal_cdf(x: Tensor) -> Tensor:
    x = x.clamp(-20.0, 20.0)  # where it is 0 or 1 all the same, and its gradient would be 0 times infinity
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
