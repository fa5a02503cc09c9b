"""The noise schedule: how much of the data is left after each step of the forward process (Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from iddpm.errors import UserError


class StepCoefficients(NamedTuple):
    """The coefficients of the equations at one step t, each `[batch, 1, ...]` so that it broadcasts over the data."""

    sqrt_alpha_bar: Tensor
    sqrt_one_minus_alpha_bar: Tensor
    log_one_minus_alpha_bar: Tensor
    sqrt_recip_alpha_bar: Tensor
    sqrt_recipm1_alpha_bar: Tensor
    alpha_bar: Tensor
    alpha_bar_prev: Tensor
    alpha_bar_next: Tensor
    log_beta: Tensor
    posterior_log_variance: Tensor
    fixed_large_log_variance: Tensor
    posterior_x_0: Tensor
    posterior_x_t: Tensor
    is_first: Tensor


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A chain of K steps: its own betas, and which timesteps of the chain it was trained as they are.

    betas:               float64 `[K]`, each in (0, 1). The primary table: 1 - beta would lose digits.
    timesteps:           int64 `[K]`, increasing: the original timestep of every step, which the network is told.
    num_train_timesteps: T of the chain that the network is trained on.

    A respaced chain is again a NoiseSchedule. Everything else is derived, in float64.
    """

    betas: Tensor
    timesteps: Tensor
    num_train_timesteps: int
    _tables: dict[tuple[torch.device, torch.dtype], Tensor] = field(default_factory=dict, init=False, repr=False)
    _timesteps: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        betas, timesteps = self.betas, self.timesteps
        if betas.ndim != 1 or len(betas) == 0 or betas.dtype != torch.float64:
            raise UserError(
                f"needs a float64 vector of at least one step, got {betas.dtype} {tuple(betas.shape)}", field="betas"
            )
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise UserError("every beta must lie strictly between 0 and 1", field="betas")
        if float(self.alpha_bar[-1]) <= 0 or float(self.alpha_bar[0]) >= 1:
            raise UserError("are so large or so small that alpha_bar is 0 or 1 in float64", field="betas")
        if timesteps.shape != betas.shape or bool((timesteps.diff() <= 0).any()):
            raise UserError("needs one increasing original timestep for every beta", field="timesteps")
        if int(timesteps[0]) < 0 or int(timesteps[-1]) >= self.num_train_timesteps:
            raise UserError(f"must lie in 0 ... {self.num_train_timesteps - 1}", field="timesteps")

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_bar(self) -> Tensor:
        """prod of (1 - beta_s) for s <= t, float64 `[K]` (Eq. 8)."""
        return torch.cumprod(1.0 - self.betas, dim=0)

    @cached_property
    def alpha_bar_prev(self) -> Tensor:
        """alpha_bar of the step before, 1 before the first, float64 `[K]`."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bar[:-1]])

    @cached_property
    def posterior_variance(self) -> Tensor:
        """beta-tilde_t, the variance of q(x_{t-1} | x_t, x_0), float64 `[K]`, 0 at the first step (Eq. 10)."""
        return self.betas * (1.0 - self.alpha_bar_prev) / (1.0 - self.alpha_bar)

    @cached_property
    def posterior_log_variance(self) -> Tensor:
        """log beta-tilde_t, with the second step's value at the first (whose own is log 0).

        A chain of a single step has no second one: there the only scale there is, beta_0, stands in.
        """
        return torch.log(self._second_for_first(self.posterior_variance))

    def _second_for_first(self, variance: Tensor) -> Tensor:
        stand_in = self.posterior_variance[1:2] if len(self) > 1 else self.betas[:1]
        return torch.cat([stand_in, variance[1:]])

    @cached_property
    def _columns(self) -> Tensor:
        """All tables of `StepCoefficients`, float64 `[K, columns]`, on the CPU."""
        alpha_bar, alpha_bar_prev = self.alpha_bar, self.alpha_bar_prev
        columns = StepCoefficients(
            sqrt_alpha_bar=alpha_bar.sqrt(),
            sqrt_one_minus_alpha_bar=(1.0 - alpha_bar).sqrt(),
            log_one_minus_alpha_bar=torch.log(1.0 - alpha_bar),
            sqrt_recip_alpha_bar=(1.0 / alpha_bar).sqrt(),
            sqrt_recipm1_alpha_bar=(1.0 / alpha_bar - 1.0).sqrt(),
            alpha_bar=alpha_bar,
            alpha_bar_prev=alpha_bar_prev,
            alpha_bar_next=torch.cat([alpha_bar[1:], torch.zeros(1, dtype=torch.float64)]),
            log_beta=torch.log(self.betas),
            posterior_log_variance=self.posterior_log_variance,
            fixed_large_log_variance=torch.log(self._second_for_first(self.betas)),
            posterior_x_0=self.betas * alpha_bar_prev.sqrt() / (1.0 - alpha_bar),
            posterior_x_t=(1.0 - alpha_bar_prev) * (1.0 - self.betas).sqrt() / (1.0 - alpha_bar),
            is_first=(torch.arange(len(self)) == 0).double(),
        )
        return torch.stack(columns, dim=1)

    def at(self, t: Tensor, like: Tensor) -> StepCoefficients:
        """Return the coefficients of steps `t` (int `[batch]`, positions 0 ... K-1 in this chain), gathered once.

        They come on the device and in the floating type of `like` `[batch, ...]`, shaped to broadcast over it.
        """
        rows = self._table(like).index_select(0, t).reshape(len(t), -1, *[1] * (like.ndim - 1))
        return StepCoefficients(*rows.unbind(1))

    def at_position(self, position: int, like: Tensor) -> StepCoefficients:
        """Return the coefficients of one step for a whole batch, each `[1, 1, ...]`: a view, without a copy."""
        row = self._table(like)[position].reshape(1, -1, *[1] * (like.ndim - 1))
        return StepCoefficients(*row.unbind(1))

    def timestep(self, position: int, device: torch.device) -> Tensor:
        """Return the original timestep of one step, int64 `[1]` on `device`: a view, without a copy to the device."""
        if device not in self._timesteps:
            self._timesteps[device] = self.timesteps.to(device)
        return self._timesteps[device][position : position + 1]

    def _table(self, like: Tensor) -> Tensor:
        key = (like.device, like.dtype)
        if key not in self._tables:
            self._tables[key] = self._columns.to(dtype=like.dtype).to(device=like.device)
        return self._tables[key]


def from_betas(betas: Sequence[float] | Tensor) -> NoiseSchedule:
    """Return a schedule with given betas `[T]`, each in (0, 1); UserError otherwise."""
    table = torch.as_tensor(betas, dtype=torch.float64)
    return NoiseSchedule(table, torch.arange(len(table)), len(table))
