"""Which items a step trains on: a function of the seed and the step, so that a run can go on anywhere."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from iddpm.data.dataset import Indices
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError


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
