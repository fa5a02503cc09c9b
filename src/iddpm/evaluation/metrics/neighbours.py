"""Nearest training items of samples, to detect memorisation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def nearest(queries: Vectors, candidates: Iterable[Vectors]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the row of each query's nearest neighbour among `candidates`, and the Euclidean distance to it.

    queries: `[n, d]`. candidates: blocks `[m, d]`, of which only one is in memory at a time; rows count through all.
    """
    best = np.full(len(queries), np.inf)
    rows = np.zeros(len(queries), dtype=np.int64)
    wide = queries.astype(np.float64)
    query_squares = (wide**2).sum(axis=1)
    start = 0
    for block in candidates:
        part = block.astype(np.float64)
        squared = query_squares[:, None] - 2 * wide @ part.T + (part**2).sum(axis=1)[None]
        closest = squared.argmin(axis=1)
        value = squared[np.arange(len(queries)), closest]
        better = value < best
        best[better], rows[better] = value[better], start + closest[better]
        start += len(block)
    return rows, np.sqrt(best.clip(min=0))
