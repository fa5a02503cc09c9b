"""The costs of a chain's jumps, and the cheapest chain of every length by dynamic programming."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.errors import Setting, UserError


@dataclass(frozen=True)
class JumpCosts:
    """The cost of the parts of a chain, in bits/dim, float64; positions are in the chain that was looked at.

    jumps:   `[K, K]`, from t (row) to an earlier s; infinite elsewhere.
    decoder: `[K, K]`, of the first step (row) when the second one is the column; alone: `[K]`, when there is no second.
    prior:   `[K]`, of the last step.
    """

    jumps: Tensor
    decoder: Tensor
    alone: Tensor
    prior: Tensor

    def bound(self, positions: list[int]) -> float:
        """Return the whole bound of the chain on these increasing positions."""
        first, last = positions[0], positions[-1]
        if len(positions) == 1:
            return float(self.alone[first] + self.prior[first])
        inner = self.jumps[positions[1:], positions[:-1]].sum()
        return float(self.decoder[first, positions[1]] + inner + self.prior[last])

    def plan(self, longest: int | None = None) -> Plan:
        """Find the cheapest chain of every length up to `longest` (all of them for None), by dynamic programming."""
        steps = len(self.alone)
        longest = min(longest or steps, steps)
        bounds = [self.alone + self.prior]
        before = [torch.zeros(steps, dtype=torch.int32)]
        reached = torch.full((steps,), torch.inf, dtype=torch.float64)
        for length in range(2, longest + 1):
            ways = self.jumps + (self.decoder.T if length == 2 else reached)
            reached, best = ways.min(dim=1)
            bounds.append(reached + self.prior)
            before.append(best.int())
        return Plan(
            torch.stack([bound.min() for bound in bounds]),
            torch.stack([b.argmin() for b in bounds]),
            torch.stack(before),
        )


@dataclass(frozen=True)
class Plan:
    """The cheapest chain of every length n = 1 ... N.

    bounds: `[N]`, in bits/dim. last: `[N]`, each chain's last position. before: `[N, K]`, the position before each one
    in the cheapest chain of length n that ends there.
    """

    bounds: Tensor
    last: Tensor
    before: Tensor

    def __len__(self) -> int:
        return len(self.bounds)

    def positions(self, count: int, *, from_noise: bool = False) -> list[int]:
        """Return the increasing positions of the chain of `count` steps. UserError for a length that was not planned.

        from_noise: the cheapest chain that ends at the last position, as sampling must: it begins with noise alone, and
        the bound alone would leave out last steps that decide on colours but are worth few bits.
        """
        self.check_length(count)
        backwards = [self.before.shape[1] - 1 if from_noise else int(self.last[count - 1])]
        for length in range(count, 1, -1):
            backwards.append(int(self.before[length - 1, backwards[-1]]))
        return backwards[::-1]

    def check_length(self, count: int) -> None:
        """Raise UserError if no chain of so many steps was planned."""
        if not 1 <= count <= len(self):
            choices = self.before.shape[1]
            limit = Setting("longest", count) if count <= choices else Setting("candidates", count)
            raise UserError(
                f"must be 1 ... {len(self)}, the lengths that were planned",
                field="steps",
                value=count,
                way=["ask for fewer, or plan anew with ", limit],
            )
