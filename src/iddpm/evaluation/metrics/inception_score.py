"""Inception score (Salimans et al. 2016): exp of the mean divergence of an image's classes from all images' classes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.metric import FeatureSet, Metric, QualityScore


class InceptionScore(Metric):
    """The Inception score of the generated images, worked out when they were looked at."""

    needs_real_features = False

    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        return {}

    def scores(self, generated: FeatureSet, real: FeatureSet, errors: Values, seed: int) -> dict[str, QualityScore]:
        return {} if generated.inception is None else {"inception": generated.inception}


def inception_score(logits: Tensor, *, parts: int = 10, seed: int = 2020) -> QualityScore:
    """Return the score of `[n, classes]` with its spread between `parts`, shuffled as torch-fidelity does it."""
    order = np.random.RandomState(seed).permutation(len(logits))
    scores = []
    for part in range(parts):
        rows = order[part * len(order) // parts : (part + 1) * len(order) // parts]
        log_p = logits[rows].double().log_softmax(dim=1)
        p = log_p.exp()
        terms = p * (log_p - p.mean(dim=0).log())
        divergence = terms.where(p > 0, 0).sum(dim=1)
        scores.append(float(divergence.mean().exp()))
    return QualityScore(float(np.mean(scores)), spread=float(np.std(scores)))
