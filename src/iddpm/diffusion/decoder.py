"""The likelihood of data given the end of the chain: how finely the data is quantized."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian


@dataclass(frozen=True)
class Discretized:
    """Data on `levels` evenly spaced values in [-1, 1]: each has the Gaussian's mass in its bin (Eq. 5)."""

    levels: int = 256

    @property
    def width(self) -> float:
        """The width of a bin."""
        return 2.0 / (self.levels - 1)

    def log_likelihood(self, distribution: Gaussian, x_0: Tensor) -> Tensor:
        """Return log p(x_0 | x_1) in nats, element by element."""
        return distribution.discretized_log_likelihood(x_0, self.levels)
