"""Which items a step trains on: a function of the seed and the step, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from iddpm.data.dataset import Indices
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError

Batch = TypeVar("Batch")


def batch_indices(step: int, batch_size: int, count: int, seed: int) -> Indices:
    """The batch of step `step` (from 0): the data in one random order after another, without a gap between them."""
    if batch_size > count:
        raise UserError(
            f"training.batch_size: {batch_size} is more than the {count} training items;"
            f" use --training.batch-size {count} or less"
        )
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    rounds = positions // count
    chosen = np.empty(batch_size, dtype=np.int64)
    for number in np.unique(rounds):
        inside = rounds == number
        chosen[inside] = _order(int(number), count, seed)[positions[inside] % count]
    return chosen


@lru_cache(maxsize=2)
def _order(number: int, count: int, seed: int) -> Indices:
    return np.random.default_rng(mixed_seed(seed, number, 3)).permutation(count)


class Ahead(Generic[Batch]):
    """Makes ready, in a thread, what the next step trains on while this one runs.

    make: from the number of a step to its batch, and dependent on nothing else. What it raises, `take` raises.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._step = -1
        self._next: Future[Batch] | None = None

    def take(self, step: int) -> Batch:
        """The batch of a step; that of the one after it is begun."""
        batch = self._next.result() if self._next is not None and self._step == step else self._make(step)
        self._step = step + 1
        self._next = self._thread.submit(self._make, self._step)
        return batch

    def end(self) -> None:
        """No more batches."""
        self._next = None
        self._thread.shutdown(cancel_futures=True)
