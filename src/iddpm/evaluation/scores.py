"""All that is said of one set of images against another: scores of their features, each with its error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.errors import UserError
from iddpm.evaluation.frechet import Extrapolation, extrapolated_distance, frechet_distance
from iddpm.evaluation.jackknife import GROUPS, jackknife
from iddpm.evaluation.kernel import KernelDistance, kernel_distance, same_distribution
from iddpm.evaluation.manifolds import manifolds
from iddpm.evaluation.moments import Moments

FEWEST = 100
"""Images in each set: below it an error bar says little."""
LARGEST_SUBSET = 1000
"""Of the kernel distance, as others have it."""


@dataclass(frozen=True)
class Estimate:
    """A score of all images, and the standard error of drawing both sets anew."""

    value: float
    error: float


@dataclass(frozen=True)
class Scores:
    """Of generated images against real ones.

    frechet and the names of `Manifolds.means` with errors by the jackknife; kernel: KID; infinite: the Frechet distance
    that infinitely many generated images would have; p_same: of "one distribution", see `same_distribution`.
    """

    generated: int
    real: int
    estimates: dict[str, Estimate]
    kernel: KernelDistance
    infinite: Extrapolation
    p_same: float


def score_sets(generated: Tensor, real: Tensor, *, seed: int = 0) -> Iterator[tuple[int, int] | Scores]:
    """Of features `[n, d]` and `[m, d]`: yields (parts done, parts) and in the end the scores.

    UserError for too few images, for features that are not finite, and for images that are all the same.
    """
    _check(generated, "samples")
    _check(real, "reference")
    parts = GROUPS + 4

    def of(rows: Tensor, real_rows: Tensor) -> dict[str, float]:
        ours, theirs = generated[rows], real[real_rows]
        distance = frechet_distance(Moments.of(ours), Moments.of(theirs))
        return {"frechet": distance, **manifolds(generated=ours, real=theirs).means()}

    values = of(torch.arange(len(generated)), torch.arange(len(real)))
    yield 1, parts
    errors: dict[str, float] = {}
    for done, found in enumerate(jackknife(of, len(generated), len(real), seed=seed), 2):
        if found is None:
            yield done, parts
        else:
            errors = found
    size = min(LARGEST_SUBSET, len(generated), len(real))
    kernel = kernel_distance(generated, real, subset_size=size)
    yield GROUPS + 2, parts
    infinite = extrapolated_distance(generated, Moments.of(real), seed)
    yield GROUPS + 3, parts
    p_same = same_distribution(generated, real, seed=seed)
    yield parts, parts
    estimates = {name: Estimate(value, errors[name]) for name, value in values.items()}
    yield Scores(len(generated), len(real), estimates, kernel, infinite, p_same)


def _check(features: Tensor, what: str) -> None:
    if len(features) < FEWEST:
        raise UserError(f"{what}: scores need at least {FEWEST} images, got {len(features)}; give more")
    if not bool(torch.isfinite(features).all()):
        raise UserError(f"{what}: features are not finite numbers; look at the images, or at the network's weights")
    if not bool((features != features[0]).any()):
        raise UserError(f"{what}: all {len(features)} images look the same; there is nothing to measure")
