"""The items that a step trains on: a function of the seed and the step, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from iddpm.data.dataset import Indices
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import Setting, UserError

Batch = TypeVar("Batch")


def batch_indices(step: int, batch_size: int, count: int, seed: int) -> Indices:
    """Return the rows of step `step` (from 0): the data in one random order after another, without a gap."""
    if batch_size > count:
        way = ("use ", Setting("training.batch_size", count), " or less")
        raise UserError(f"{batch_size} is more than the {count} training items", field="training.batch_size", way=way)
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
    """The batches of steps, each made in a thread while the step before it runs.

    make: from the number of a step to its batch, and dependent on nothing else. What it raises, `take` raises.
    """

    def __init__(self, make: Callable[[int], Batch]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._step = -1
        self._next: Future[Batch] | None = None

    def take(self, step: int) -> Batch:
        """Return the batch of a step, and begin that of the next one."""
        batch = self._next.result() if self._next is not None and self._step == step else self._make(step)
        self._step = step + 1
        self._next = self._thread.submit(self._make, self._step)
        return batch

    def end(self) -> None:
        """Make no more batches."""
        self._next = None
        self._thread.shutdown(cancel_futures=True)
