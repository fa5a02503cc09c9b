"""All that is said of one set of images against another: scores of their features, each with its error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.errors import UserError
from iddpm.evaluation.metrics.frechet import extrapolated_distance, frechet_distance
from iddpm.evaluation.metrics.jackknife import GROUPS, Values, jackknife
from iddpm.evaluation.metrics.kernel import kernel_distance, same_distribution, squared_discrepancy
from iddpm.evaluation.metrics.manifolds import manifolds
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.statistics import Statistics

FEWEST = 100
"""Images in each set: below it an error bar says little."""
LARGEST_SUBSET = 1000
"""Of the kernel distance, as others have it."""
MOST_FOR_ERRORS = 3000
"""Images of the larger set that errors are worked out on: a score's error falls with the root of their number."""
CONFIDENCE = 1.96
"""Standard errors on each side of a 95 % interval."""
PERMUTATIONS = 999
SETTINGS = {
    "k": 3,
    "k of density and coverage": 5,
    "jackknife groups": GROUPS,
    "kernel subset": LARGEST_SUBSET,
    "permutations": PERMUTATIONS,
}


@dataclass(frozen=True)
class Estimate:
    """A score of all images.

    error: the standard error of drawing both sets anew; None where it is not known. spread: the standard deviation
    between parts of the samples, where others give that.
    """

    value: float
    error: float | None
    spread: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of 95 % confidence."""
        return (
            None if self.error is None else (self.value - CONFIDENCE * self.error, self.value + CONFIDENCE * self.error)
        )


@dataclass(frozen=True)
class Scores:
    """Of generated images against real ones.

    estimates by name: frechet (FID, on Inception's features), frechet_infinite (what infinitely many generated images
    would have), spatial_frechet (sFID), kernel (KID), inception (score), precision, recall, density, coverage,
    authenticity. Those that need features of the real images are left out where there are none.
    p_same: of "one distribution", see `same_distribution`.
    """

    generated: int
    real: int
    estimates: dict[str, Estimate]
    p_same: float | None


def score_sets(generated: Statistics, real: Statistics, *, seed: int = 0) -> Iterator[tuple[int, int] | Scores]:
    """Yields (parts done, parts) and in the end the scores.

    UserError for too few images, for features that are not finite, and for images that are all the same.
    """
    if generated.features is None:
        raise UserError("samples: the file holds no features, only their moments; make it without --moments-only")
    check_count(generated.moments.count, "samples")
    check_count(real.moments.count, "reference")
    _check(generated.features, "samples")
    if real.features is not None:
        _check(real.features, "reference")
    parts = GROUPS + 4
    values = {
        "frechet": frechet_distance(generated.moments, real.moments),
        **_compare(generated.features, real.features),
    }
    yield 1, parts
    errors: Values = {}
    for done, found in enumerate(_errors(generated.features, real, seed), 2):
        if found is None:
            yield done, parts
        else:
            errors = found
    estimates = {name: Estimate(value, errors[name]) for name, value in values.items()}
    infinite = extrapolated_distance(generated.features, real.moments, seed)
    estimates["frechet_infinite"] = Estimate(infinite.distance, math.hypot(infinite.error, errors["frechet"]))
    yield GROUPS + 2, parts
    if generated.spatial is not None and real.spatial is not None:
        estimates["spatial_frechet"] = Estimate(frechet_distance(generated.spatial, real.spatial), None)
    if generated.inception is not None:
        estimates["inception"] = Estimate(generated.inception.mean, None, generated.inception.spread)
    p_same = None
    if real.features is not None:
        size = min(LARGEST_SUBSET, len(generated.features), len(real.features))
        kernel = kernel_distance(generated.features, real.features, subset_size=size)
        estimates["kernel"] = Estimate(kernel.mean, errors["kernel"], kernel.spread)
        yield GROUPS + 3, parts
        p_same = same_distribution(generated.features, real.features, permutations=PERMUTATIONS, seed=seed)
    yield parts, parts
    yield Scores(generated.moments.count, real.moments.count, estimates, p_same)


def distance(generated: Statistics, real: Statistics, *, seed: int = 0) -> Estimate:
    """The Frechet distance alone. Both sets need their features."""
    assert generated.features is not None
    assert real.features is not None
    ours, theirs = generated.features, real.features

    def of_rows(rows: Tensor, real_rows: Tensor) -> Values:
        return {"frechet": frechet_distance(Moments.of(ours[rows]), Moments.of(theirs[real_rows]))}

    *_, errors = jackknife(of_rows, len(ours), len(theirs), seed=seed)
    assert errors is not None
    return Estimate(frechet_distance(generated.moments, real.moments), errors["frechet"])


def check_count(count: int, what: str) -> None:
    """UserError for fewer images than scores need."""
    if count < FEWEST:
        raise UserError(f"{what}: scores need at least {FEWEST} images, got {count}; give more")


def _compare(generated: Tensor, real: Tensor | None) -> Values:
    return {} if real is None else manifolds(generated=generated, real=real).means()


def _errors(generated: Tensor, real: Statistics, seed: int) -> Iterator[Values | None]:
    """Standard errors, on at most `MOST_FOR_ERRORS` images of each set and scaled to all of them."""
    largest = max(len(generated), 0 if real.features is None else len(real.features))
    share = min(1.0, MOST_FOR_ERRORS / largest)
    generator = torch.Generator().manual_seed(seed)
    ours = _some(generated, share, generator)
    theirs = None if real.features is None else _some(real.features, share, generator)

    def scores_of(rows: Tensor, real_rows: Tensor) -> Values:
        if theirs is None:
            return {"frechet": frechet_distance(Moments.of(ours[rows]), real.moments)}
        first, second = ours[rows], theirs[real_rows]
        distance = frechet_distance(Moments.of(first), Moments.of(second))
        return {"frechet": distance, "kernel": squared_discrepancy(first, second), **_compare(first, second)}

    for found in jackknife(scores_of, len(ours), len(ours) if theirs is None else len(theirs), seed=seed):
        yield None if found is None else {name: error * share**0.5 for name, error in found.items()}


def _some(features: Tensor, share: float, generator: torch.Generator) -> Tensor:
    if share == 1:
        return features
    return features[torch.randperm(len(features), generator=generator)[: round(share * len(features))]]


def _check(features: Tensor, what: str) -> None:
    if not bool(torch.isfinite(features).all()):
        raise UserError(f"{what}: features are not finite numbers; look at the images, or at the network's weights")
    if not bool((features != features[0]).any()):
        raise UserError(f"{what}: all {len(features)} images look the same; there is nothing to measure")
