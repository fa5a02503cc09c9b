"""The scores of one set of images against another, each with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from iddpm.errors import Setting, UserError
from iddpm.evaluation.metrics.frechet import Frechet
from iddpm.evaluation.metrics.jackknife import GROUPS, Values, jackknife
from iddpm.evaluation.metrics.kernel import LARGEST_SUBSET, same_distribution
from iddpm.evaluation.metrics.metric import FeatureSet, Metric, QualityScore
from iddpm.names import METRICS
from iddpm.progress import Progress, Work

FEWEST = 100
"""Images in each set: below it an error bar says little."""
MOST_FOR_ERRORS = 3000
"""Images of the larger set that errors are worked out on: a score's error falls with the root of their number."""
PERMUTATIONS = 999
SETTINGS = {
    "k": 3,
    "k of density and coverage": 5,
    "jackknife groups": GROUPS,
    "kernel subset": LARGEST_SUBSET,
    "permutations": PERMUTATIONS,
}


@dataclass(frozen=True)
class SampleQuality:
    """The quality of generated images, held against real ones.

    generated, real: the number of images. scores: by name, see `iddpm.names.METRICS`; those that need features of the
    real images are left out if only their moments are known. p_same: the p-value of "one distribution", see
    `same_distribution`. settings: what the scores depend on beside the images (JSON).
    """

    generated: int
    real: int
    scores: dict[str, QualityScore]
    p_same: float | None
    settings: dict[str, Any]


def score_sets(generated: FeatureSet, real: FeatureSet, *, seed: int = 0) -> Work[SampleQuality]:
    """Return every score of `METRICS`.

    UserError for too few images, for features that are not finite, and for images that are all the same.
    """
    if generated.features is None:
        raise UserError(
            "the file holds the moments of features alone",
            field="samples",
            way=["make it anew without ", Setting("moments_only")],
        )
    check_count(generated.moments.count, "samples")
    check_count(real.moments.count, "reference")
    _check(generated.features, "samples")
    if real.features is not None:
        _check(real.features, "reference")
    metrics = [kind() for kind in dict.fromkeys(METRICS[name] for name in METRICS)]
    metrics = [metric for metric in metrics if real.features is not None or not metric.needs_real_features]
    errors = yield from _errors(metrics, generated, real, seed, MOST_FOR_ERRORS)
    scores: dict[str, QualityScore] = {}
    for done, metric in enumerate(metrics, 1):
        scores |= metric.scores(generated, real, errors, seed)
        yield Progress("scoring", done, len(metrics) + 1)
    p_same = None
    if real.features is not None:
        p_same = same_distribution(generated.features, real.features, permutations=PERMUTATIONS, seed=seed)
    yield Progress("scoring", len(metrics) + 1, len(metrics) + 1)
    settings = {**SETTINGS, "seed": seed, "errors": "of samples" if p_same is None else "of both sets"}
    return SampleQuality(generated.moments.count, real.moments.count, scores, p_same, settings)


def distance(generated: FeatureSet, real: FeatureSet, *, seed: int = 0) -> Work[QualityScore]:
    """Return the Frechet distance alone, with its error on all images. Both sets need their features."""
    metric = Frechet()
    largest = max(len(generated.rows), len(real.rows))
    errors = yield from _errors([metric], generated, real, seed, largest)
    return QualityScore(metric.values(generated, real)["frechet"], errors["frechet"])


def check_count(count: int, field: str) -> None:
    """Raise UserError for fewer images than scores need."""
    if count < FEWEST:
        raise UserError(f"scores need at least {FEWEST} images", field=field, value=count, way="give more")


def _errors(metrics: Sequence[Metric], generated: FeatureSet, real: FeatureSet, seed: int, most: int) -> Work[Values]:
    """Return standard errors, worked out on at most `most` images of the larger set and scaled to all of them."""
    largest = max(len(features) for features in (generated.features, real.features) if features is not None)
    share = min(1.0, most / largest)
    generator = torch.Generator().manual_seed(seed)
    ours, theirs = (_part(images, share, generator) for images in (generated, real))

    def values(rows: Tensor, real_rows: Tensor) -> Values:
        sets = ours.subset(rows), theirs.subset(real_rows)
        return {name: value for metric in metrics for name, value in metric.values(*sets).items()}

    count, real_count = (len((ours if images.features is None else images).rows) for images in (ours, theirs))
    errors = yield from jackknife(values, count, real_count, seed=seed)
    return {name: error * share**0.5 for name, error in errors.items()}


def _part(images: FeatureSet, share: float, generator: torch.Generator) -> FeatureSet:
    if share == 1 or images.features is None:
        return images
    count = len(images.features)
    return images.subset(torch.randperm(count, generator=generator)[: round(share * count)])


def _check(features: Tensor, field: str) -> None:
    if not bool(torch.isfinite(features).all()):
        raise UserError(
            "features are not finite numbers", field=field, way="look at the images, or at the network's weights"
        )
    if not bool((features != features[0]).any()):
        raise UserError(f"all {len(features)} images look the same", field=field, way="give images that differ")
