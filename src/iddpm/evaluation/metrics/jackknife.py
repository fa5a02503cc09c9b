"""Error bars for any score: leave out one group of images after another (the delete-a-group jackknife)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from iddpm.progress import Progress, Work

GROUPS = 20
Values = dict[str, float]
"""Scores, or their errors, by name."""


def jackknife(
    score: Callable[[Tensor, Tensor], Values], generated: int, real: int, *, groups: int = GROUPS, seed: int = 0
) -> Work[Values]:
    """Return the standard errors of the scores that `score` gives for rows of two sets of so many images.

    Both sets lose a group at a time, drawn at random, so the error is that of drawing both anew. (A bootstrap would
    draw images twice, and a copy is its own nearest neighbour.)
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randperm(count, generator=generator).tensor_split(groups) for count in (generated, real)]
    samples: list[Values] = []
    for group in range(groups):
        rows, real_rows = (torch.cat([*part[:group], *part[group + 1 :]]).sort().values for part in parts)
        samples.append(score(rows, real_rows))
        yield Progress("estimating errors", group + 1, groups)
    return {name: float(np.sqrt((groups - 1) * np.var([values[name] for values in samples]))) for name in samples[0]}
