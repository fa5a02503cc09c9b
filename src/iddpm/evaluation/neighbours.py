"""The training items that samples are closest to: whoever only remembers is found out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def nearest(queries: Vectors, known: Vectors, block: int = 2048) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each of `queries` `[n, d]` the row of its nearest neighbour in `known` `[m, d]`, and the Euclidean distance.

    A block of `known` at a time, so the memory does not grow with m.
    """
    best = np.full(len(queries), np.inf)
    rows = np.zeros(len(queries), dtype=np.int64)
    query_squares = (queries.astype(np.float64) ** 2).sum(axis=1)
    for start in range(0, len(known), block):
        part = known[start : start + block].astype(np.float64)
        squared = query_squares[:, None] - 2 * queries.astype(np.float64) @ part.T + (part**2).sum(axis=1)[None]
        closest = squared.argmin(axis=1)
        value = squared[np.arange(len(queries)), closest]
        better = value < best
        best[better], rows[better] = value[better], start + closest[better]
    return rows, np.sqrt(best.clip(min=0))
