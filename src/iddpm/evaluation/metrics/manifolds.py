"""Nearest neighbours in feature space, which tell good, missing and copied images.

Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), authenticity (Alaa et al.
2022). All distances are worked out block by block, so that they are never all in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.metric import FeatureSet, Metric

ROWS, COLUMNS = 1024, 8192
"""The size of a block of distances: 32 MiB."""


class NearestNeighbours(Metric):
    """Precision, recall, density, coverage and authenticity."""

    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        return manifolds(generated=generated.rows, real=real.rows).means()


@dataclass(frozen=True)
class Manifolds:
    """An answer for every image. An image's ball reaches to its k-th nearest neighbour in its own set.

    is_real_like  `[generated]`: within the ball of a real image. Their share is the precision.
    is_reached    `[real]`: within the ball of a generated image. Their share is the recall.
    density       `[generated]`: the number of real images' balls that it is in, over k. Their mean is the density.
    is_covered    `[real]`: a generated image is in its ball. Their share is the coverage.
    is_authentic  `[generated]`: farther from its nearest real image than that one is from its nearest other real image.
    """

    is_real_like: Tensor
    is_reached: Tensor
    density: Tensor
    is_covered: Tensor
    is_authentic: Tensor

    def means(self) -> Values:
        """Return the scores by name."""
        return {
            "precision": float(self.is_real_like.float().mean()),
            "recall": float(self.is_reached.float().mean()),
            "density": float(self.density.mean()),
            "coverage": float(self.is_covered.float().mean()),
            "authenticity": float(self.is_authentic.float().mean()),
        }


def manifolds(*, generated: Tensor, real: Tensor, k: int = 3, k_density: int = 5) -> Manifolds:
    """Return the answers for features `[n, d]` and `[m, d]`; each set needs more than `k` and `k_density` images.

    k: for precision and recall; k_density: for density and coverage (the defaults are their authors').
    """
    centre = real.mean(dim=0)
    ours, theirs = _Points(generated, centre), _Points(real, centre)
    (our_ball,) = _radii(ours, [k])
    their_ball, their_density_ball, their_nearest = _radii(theirs, [k, k_density, 1])
    n, m = len(generated), len(real)
    real_like, inside = torch.zeros(n, dtype=torch.bool), torch.zeros(n)
    reached, covered = torch.zeros(m, dtype=torch.bool), torch.zeros(m, dtype=torch.bool)
    closest, closest_to = torch.full((n,), torch.inf), torch.zeros(n, dtype=torch.long)
    for columns, rows, squared in _blocks(theirs, ours):  # [generated, real]
        real_like[rows] |= (squared <= their_ball[columns]).any(dim=1)
        within = squared <= their_density_ball[columns]
        inside[rows] += within.sum(dim=1)
        covered[columns] |= within.any(dim=0)
        reached[columns] |= (squared <= our_ball[rows, None]).any(dim=0)
        nearest = squared.min(dim=1)
        nearer = nearest.values < closest[rows]
        closest[rows] = torch.where(nearer, nearest.values, closest[rows])
        closest_to[rows] = torch.where(nearer, nearest.indices + columns.start, closest_to[rows])
    return Manifolds(real_like, reached, inside / k_density, covered, closest > their_nearest[closest_to])


class _Points:
    """Vectors relative to `centre`, which makes them short and their distances exact, and their squared lengths.

    They are centred a block at a time: a copy of all would take as much memory as they do.
    """

    def __init__(self, vectors: Tensor, centre: Tensor) -> None:
        self._vectors = vectors
        self._centre = centre
        parts = (self.block(slice(start, start + ROWS)).double() for start in range(0, len(vectors), ROWS))
        self.squares = torch.cat([part.square().sum(dim=1).float() for part in parts])

    def __len__(self) -> int:
        return len(self._vectors)

    def block(self, rows: slice) -> Tensor:
        """Return some of the centred vectors."""
        return (self._vectors[rows] - self._centre).float()


def _blocks(columns_of: _Points, rows_of: _Points) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield squared distances `[rows, columns]`, block by block."""
    for first in range(0, len(columns_of), COLUMNS):
        columns = slice(first, min(first + COLUMNS, len(columns_of)))
        theirs = columns_of.block(columns).T
        for start in range(0, len(rows_of), ROWS):
            rows = slice(start, min(start + ROWS, len(rows_of)))
            lengths = rows_of.squares[rows, None] + columns_of.squares[columns]
            yield columns, rows, lengths.addmm_(rows_of.block(rows), theirs, alpha=-2).clamp_(min=0)


def _radii(points: _Points, neighbours: list[int]) -> list[Tensor]:
    """Return the squared distance from each point to its k-th nearest neighbour, for each k."""
    most = max(neighbours)
    nearest = torch.full((len(points), most), torch.inf)
    for columns, rows, squared in _blocks(points, points):
        if (first := max(rows.start, columns.start)) < min(rows.stop, columns.stop):  # some points meet themselves
            squared[first - rows.start :, first - columns.start :].fill_diagonal_(torch.inf)
        few = min(most, squared.shape[1])
        candidates = torch.cat([nearest[rows], squared.topk(few, dim=1, largest=False).values], dim=1)
        nearest[rows] = candidates.topk(most, dim=1, largest=False).values
    ordered = nearest.sort(dim=1).values
    return [ordered[:, k - 1].clone() for k in neighbours]
