"""Randomness as an argument: one seed an item, so that an item does not depend on the batch it is drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class SeededNoise:
    """Standard normal noise for a batch, where row i comes from a generator of its own, seeded with `seeds[i]`.

    Called, it gives the next tensor `[batch, *shape]` on `device`. It draws on the CPU, so that a seed means the same
    noise on every device.
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape = tuple(shape)
        self._device = torch.device(device)

    def __call__(self) -> Tensor:
        rows = torch.empty(len(self._generators), *self._shape)
        for row, generator in zip(rows, self._generators, strict=True):
            row.normal_(generator=generator)
        return rows.to(self._device)


def mixed_seed(*parts: int) -> int:
    """Return one 63-bit seed from several integers (a run's seed, a step, ...): other parts, unrelated streams.

    SplitMix64's finalizer, folded over the parts.
    """
    mask = (1 << 64) - 1
    state = 0
    for part in parts:
        state = (state + (part & mask) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1
