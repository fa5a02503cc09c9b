"""Kernel distance (KID: Binkowski et al. 2018): the squared maximum mean discrepancy of a cubic kernel, unbiased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.metric import FeatureSet, Metric, QualityScore

LARGEST_SUBSET = 1000
"""Images of a random subset, at most: the number that other programs take."""


class Kernel(Metric):
    """KD: the mean over random subsets, with the error of the whole sets' distance."""

    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        return {"kernel": squared_discrepancy(generated.rows, real.rows)}

    def scores(self, generated: FeatureSet, real: FeatureSet, errors: Values, seed: int) -> dict[str, QualityScore]:
        size = min(LARGEST_SUBSET, len(generated.rows), len(real.rows))
        distance = kernel_distance(generated.rows, real.rows, subset_size=size)
        return {"kernel": replace(distance, error=errors["kernel"])}


def kernel_distance(
    generated: Tensor, real: Tensor, *, subset_size: int = LARGEST_SUBSET, subsets: int = 100, seed: int = 2020
) -> QualityScore:
    """Return the distance of `[n, d]` and `[m, d]` in float64: the mean over random subsets, and their spread.

    Subsets and defaults are torch-fidelity's, so that figures compare.
    """
    generator = np.random.RandomState(seed)
    distances = []
    for _ in range(subsets):
        first = generated[generator.choice(len(generated), subset_size, replace=False)]
        second = real[generator.choice(len(real), subset_size, replace=False)]
        distances.append(squared_discrepancy(first, second))
    return QualityScore(float(np.mean(distances)), spread=float(np.std(distances)))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return (a b / d + 1)^3 of every pair of rows."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def squared_discrepancy(first: Tensor, second: Tensor) -> float:
    """Return the unbiased squared discrepancy of all of `[n, d]` and all of `[m, d]`, in float64."""
    a, b = first.double(), second.double()
    within_a, between, within_b = _kernel(a, a), _kernel(a, b), _kernel(b, b)
    n, m = between.shape
    ours = (within_a.sum() - within_a.trace()) / (n * (n - 1))
    theirs = (within_b.sum() - within_b.trace()) / (m * (m - 1))
    return float(ours + theirs - 2 * between.mean())


def same_distribution(a: Tensor, b: Tensor, *, permutations: int = 999, most: int = 2000, seed: int = 0) -> float:
    """Return the p-value of "both sets are draws from one distribution": a permutation test of the kernel distance.

    It takes at most `most` rows of each set. True halves of one set fall below p = 0.05 in 5 % of cases, whatever the
    features. The rows are divided by their pooled standard deviation first, so that no single feature decides.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = (rows[torch.randperm(len(rows), generator=generator)[:most]].double() for rows in (a, b))
    pooled = torch.cat([first, second])
    pooled = (pooled - pooled.mean(dim=0)) / pooled.std(dim=0).clamp(min=1e-12)
    kernel = _kernel(pooled, pooled)
    kernel.fill_diagonal_(0)
    n, m = len(first), len(second)
    # With membership s (1 for the first set) the sums are s K s, (1 - s) K (1 - s), s K (1 - s): all shuffles at once.
    members = torch.zeros(n + m, permutations + 1, dtype=torch.float64)
    members[:n, 0] = 1
    for column in range(1, permutations + 1):
        members[torch.randperm(n + m, generator=generator)[:n], column] = 1
    reached = kernel @ members
    within_a = (members * reached).sum(dim=0)
    between = ((1 - members) * reached).sum(dim=0)
    within_b = kernel.sum() - within_a - 2 * between
    distance = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)
    return float((distance >= distance[0]).sum()) / (permutations + 1)
