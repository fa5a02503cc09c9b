"""Mean and covariance of features that come in batches, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 8192


@dataclass(frozen=True)
class Moments:
    """Of `count` vectors: their mean `[d]`, and the sum of outer products of what is left of each `[d, d]`.

    Those of two sets can be added, so that parts may be read one by one, or on several machines. Every batch is centred
    on its own mean first (Chan, Golub & LeVeque 1983): a sum of squares would lose the digits that matter.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def none(cls, dimensions: int) -> Moments:
        """Of nothing yet."""
        return cls(0, torch.zeros(dimensions, dtype=torch.float64), torch.zeros(dimensions, dimensions).double())

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Of the rows of `[n, d]`, of which a part at a time is copied."""
        found = cls.none(features.shape[1])
        for part in torch.split(features, ROWS):
            values = part.double()
            mean = values.mean(dim=0)
            centred = values - mean
            found += cls(len(values), mean, centred.T @ centred)
        return found

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
        """The unbiased one, `[d, d]`; it needs two vectors."""
        return self.scatter / (self.count - 1)
