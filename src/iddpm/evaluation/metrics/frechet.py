"""The Frechet distance between Gaussians fitted to features (Dowson & Landau 1982; FID: Heusel et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iddpm.evaluation.metrics.moments import Moments

EXTRAPOLATION_POINTS = 15
SMALLEST_SHARE = 0.25


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), with S the unbiased covariances.

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


@dataclass(frozen=True)
class Extrapolation:
    """The distance that infinitely many samples would have, and the standard error of the fitted line there.

    The error is not that of drawing the samples anew: all points of the line are of the same ones.
    """

    distance: float
    error: float


def extrapolated_distance(generated: Tensor, reference: Moments, seed: int = 0) -> Extrapolation:
    """The distance of `n` of `generated` `[rows, d]` as a line in 1 / n, at 1 / n = 0 (Chong & Forsyth 2020).

    The distance of few samples is too large by about a constant over their number. Draws are without replacement.
    """
    counts = np.linspace(SMALLEST_SHARE * len(generated), len(generated), EXTRAPOLATION_POINTS).astype(int)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for count in counts:
        rows = torch.randperm(len(generated), generator=generator)[: int(count)]
        found.append(frechet_distance(Moments.of(generated[rows]), reference))
    design = np.stack([np.ones(len(counts)), 1 / counts], axis=1)
    line, *_ = np.linalg.lstsq(design, np.array(found), rcond=None)
    left = np.array(found) - design @ line
    variance = (left @ left) / (len(counts) - 2) * np.linalg.inv(design.T @ design)[0, 0]
    return Extrapolation(float(line[0]), float(variance**0.5))
