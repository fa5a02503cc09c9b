"""Mean and covariance of features that come in batches, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 8192


@dataclass(frozen=True)
class Moments:
    """The mean `[d]` of `count` vectors, and the sum of outer products of their deviations from it, `[d, d]`.

    Moments of two sets can be added, so that parts may be read one by one, or on several machines. Every batch is
    centred on its own mean first (Chan, Golub & LeVeque 1983): a sum of squares would lose the digits that matter.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def none(cls, dimensions: int) -> Moments:
        """Return the empty accumulator."""
        return cls(0, torch.zeros(dimensions, dtype=torch.float64), torch.zeros(dimensions, dimensions).double())

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Return the moments of the rows of `[n, d]`; only a part of them is copied at a time."""
        moments = cls.none(features.shape[1])
        for part in torch.split(features, ROWS):
            values = part.double()
            mean = values.mean(dim=0)
            centred = values - mean
            moments += cls(len(values), mean, centred.T @ centred)
        return moments

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        difference = other.mean - self.mean
        mean = self.mean + difference * (other.count / count)
        between = torch.outer(difference, difference) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance `[d, d]`, which needs two vectors."""
        return self.scatter / (self.count - 1)
