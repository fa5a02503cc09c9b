"""The abstract class of scores of images, what they are worked out from, and what they give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.moments import Moments

CONFIDENCE = 1.96
"""Standard errors on each side of a 95 % interval."""


@dataclass(frozen=True)
class QualityScore:
    """A score of generated images.

    error: the standard error of drawing both sets anew; None if it is not known. spread: the standard deviation between
    parts of the images, for the scores that other programs give with it.
    """

    value: float
    error: float | None = None
    spread: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval."""
        if self.error is None:
            return None
        return self.value - CONFIDENCE * self.error, self.value + CONFIDENCE * self.error


@dataclass(frozen=True)
class FeatureSet:
    """The features of a set of images, as far as they were kept.

    moments:   mean and covariance of the features.
    features:  `[n, d]`, or None if only their moments were kept.
    spatial:   moments of features that keep their place in the image, if the network has such.
    inception: the score of the set on its own, if the network has classes.
    """

    moments: Moments
    features: Tensor | None = None
    spatial: Moments | None = None
    inception: QualityScore | None = None

    @classmethod
    def of(cls, features: Tensor) -> FeatureSet:
        """Make a set of features `[n, d]`."""
        return cls(Moments.of(features), features)

    @property
    def rows(self) -> Tensor:
        """The features of a set that has kept them."""
        assert self.features is not None
        return self.features

    def subset(self, rows: Tensor) -> FeatureSet:
        """Return the set of some of the images; all of it if only its moments were kept."""
        return self if self.features is None else FeatureSet.of(self.features[rows])


class Metric(ABC):
    """A score, or several that are worked out together: a file in this folder, and a row in `iddpm.names.METRICS` each.

    needs_real_features: it is left out if only the moments of the real images were kept.
    """

    needs_real_features = True

    @abstractmethod
    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        """Return the scores by name. The jackknife repeats this without some of the images, to find their errors."""

    def scores(self, generated: FeatureSet, real: FeatureSet, errors: Values, seed: int) -> dict[str, QualityScore]:
        """Return the scores of all images by name. errors: the standard errors of all metrics' `values`."""
        return {name: QualityScore(value, errors[name]) for name, value in self.values(generated, real).items()}
