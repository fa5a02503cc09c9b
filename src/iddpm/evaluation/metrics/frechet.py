"""The Frechet distance between Gaussians fitted to features (Dowson & Landau 1982; FID: Heusel et al. 2017)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.metric import FeatureSet, Metric, QualityScore
from iddpm.evaluation.metrics.moments import Moments

EXTRAPOLATION_POINTS = 15
SMALLEST_SHARE = 0.25


class Frechet(Metric):
    """FD, its extrapolation to infinitely many samples, and that of spatial features (sFID: Nash et al. 2021)."""

    needs_real_features = False

    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        return {"frechet": frechet_distance(generated.moments, real.moments)}

    def scores(self, generated: FeatureSet, real: FeatureSet, errors: Values, seed: int) -> dict[str, QualityScore]:
        scores = super().scores(generated, real, errors, seed)
        infinite = extrapolated_distance(generated.rows, real.moments, seed)
        error = math.hypot(infinite.error or 0.0, errors["frechet"])
        scores["frechet_infinite"] = QualityScore(infinite.value, error)
        if generated.spatial is not None and real.spatial is not None:
            scores["spatial_frechet"] = QualityScore(frechet_distance(generated.spatial, real.spatial))
        return scores


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with S the unbiased covariances.

    The trace of the root is that of (R S_b R)^(1/2) with R = S_a^(1/2): symmetric, so no complex numbers appear, and
    right where there are fewer vectors than dimensions.
    """
    difference = a.mean - b.mean
    first, second = a.covariance, b.covariance
    root = _symmetric_root(first)
    inner = root @ second @ root
    shared = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    return max(0.0, float(difference @ difference + first.trace() + second.trace() - 2 * shared))


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def extrapolated_distance(generated: Tensor, reference: Moments, seed: int = 0) -> QualityScore:
    """Return the distance that infinitely many samples would have (Chong & Forsyth 2020).

    The distance of few samples is too large by about a constant over their number: distances of parts of `generated`
    `[rows, d]`, drawn without replacement, are fitted by a line in 1 / n, and its value at 1 / n = 0 is returned. The
    error is that of the line alone, whose points all share the same samples.
    """
    counts = np.linspace(SMALLEST_SHARE * len(generated), len(generated), EXTRAPOLATION_POINTS).astype(int)
    generator = torch.Generator().manual_seed(seed)
    distances = np.empty(len(counts))
    for point, count in enumerate(counts):
        rows = torch.randperm(len(generated), generator=generator)[: int(count)]
        distances[point] = frechet_distance(Moments.of(generated[rows]), reference)
    design = np.stack([np.ones(len(counts)), 1 / counts], axis=1)
    line, *_ = np.linalg.lstsq(design, distances, rcond=None)
    residuals = distances - design @ line
    variance = (residuals @ residuals) / (len(counts) - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return QualityScore(float(line[0]), float(variance**0.5))
