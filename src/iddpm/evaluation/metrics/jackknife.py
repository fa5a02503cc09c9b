"""Error bars for any score: leave out one group of images after another (the delete-a-group jackknife)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

GROUPS = 20
Values = dict[str, float]


def jackknife(
    score: Callable[[Tensor, Tensor], Values], generated: int, real: int, *, groups: int = GROUPS, seed: int = 0
) -> Iterator[Values | None]:
    """Standard errors of the scores that `score` finds for rows of two sets, after None for every group done.

    score: given which of `generated` and of `real` images to use. Both sets lose a group at a time, drawn at random, so
    the error is of drawing both anew. (A bootstrap would draw images twice, and a copy is its own nearest neighbour.)
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randperm(count, generator=generator).tensor_split(groups) for count in (generated, real)]
    found: list[Values] = []
    for left_out in range(groups):
        kept = [torch.cat([*part[:left_out], *part[left_out + 1 :]]).sort().values for part in parts]
        found.append(score(kept[0], kept[1]))
        yield None
    yield {name: float(np.sqrt((groups - 1) * np.var([values[name] for values in found]))) for name in found[0]}
