"""The training items that samples are closest to: whoever only remembers is found out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def nearest(queries: Vectors, known: Iterable[Vectors]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each of `queries` `[n, d]` the number of its nearest neighbour among `known`, and the Euclidean distance.

    known: blocks `[m, d]`, numbered on from one to the next; only one of them is in memory at a time.
    """
    best = np.full(len(queries), np.inf)
    rows = np.zeros(len(queries), dtype=np.int64)
    wide = queries.astype(np.float64)
    query_squares = (wide**2).sum(axis=1)
    start = 0
    for block in known:
        part = block.astype(np.float64)
        squared = query_squares[:, None] - 2 * wide @ part.T + (part**2).sum(axis=1)[None]
        closest = squared.argmin(axis=1)
        value = squared[np.arange(len(queries)), closest]
        better = value < best
        best[better], rows[better] = value[better], start + closest[better]
        start += len(block)
    return rows, np.sqrt(best.clip(min=0))
