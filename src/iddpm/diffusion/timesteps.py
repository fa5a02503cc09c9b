"""The timesteps to train on: uniform, low-discrepancy, or by the loss's second moment (Section 3.3, Eq. 18)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class DrawnTimesteps:
    """Steps `t` (int64 `[batch]`), and the `weights` `[batch]` that keep the mean loss what it is over uniform t."""

    t: Tensor
    weights: Tensor


class TimestepSampler(ABC):
    """Draws the steps of a batch. What it remembers is in `state_dict`."""

    def __init__(self, num_timesteps: int) -> None:
        self.num_timesteps = num_timesteps

    learns: ClassVar[bool] = False
    """True for samplers whose `update` needs to be called."""

    @abstractmethod
    def draw(self, batch_size: int, generator: torch.Generator) -> DrawnTimesteps:
        """Draw the steps of a batch, on the CPU, random by `generator` alone."""

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Take note of the unweighted losses `[batch]` of steps `t`: the whole batch's, if it is shared."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that is remembered, as tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""


class Uniform(TimestepSampler):
    """Every step alike, drawn independently."""

    def draw(self, batch_size: int, generator: torch.Generator) -> DrawnTimesteps:
        t = torch.randint(self.num_timesteps, (batch_size,), generator=generator)
        return DrawnTimesteps(t, torch.ones(batch_size))


class LowDiscrepancy(TimestepSampler):
    """One stratified draw a batch: every step alike in the mean, and evenly spread within each batch.

    A single uniform number shifts a grid of `batch_size` points over [0, 1) (Kingma et al. 2021, Appendix I.1).
    The order is shuffled, so that no item's place in the batch decides its step.
    """

    def draw(self, batch_size: int, generator: torch.Generator) -> DrawnTimesteps:
        shift = torch.rand((), generator=generator, dtype=torch.float64)
        grid = (shift + torch.arange(batch_size, dtype=torch.float64) / batch_size) % 1.0
        t = (grid * self.num_timesteps).long().clamp(max=self.num_timesteps - 1)
        return DrawnTimesteps(t[torch.randperm(batch_size, generator=generator)], torch.ones(batch_size))


class LossSecondMoment(TimestepSampler):
    """The paper's importance sampling for L_vlb: p_t proportional to sqrt(E[L_t^2]) (Eq. 18).

    history_per_term: losses remembered a step; sampling is uniform until every step has that many.
    uniform_share:    the part of the probability that is always spread evenly.
    """

    learns = True

    def __init__(self, num_timesteps: int, history_per_term: int = 10, uniform_share: float = 1e-3) -> None:
        super().__init__(num_timesteps)
        self.uniform_share = uniform_share
        self.history = torch.zeros(num_timesteps, history_per_term, dtype=torch.float64)
        self.counts = torch.zeros(num_timesteps, dtype=torch.int64)

    @property
    def warmed_up(self) -> bool:
        """True once every step has a full history."""
        return bool((self.counts == self.history.shape[1]).all())

    def weights(self) -> Tensor:
        """Return the weights by which steps are drawn, float64 `[T]`: ones until warmed up, then of sum 1."""
        if not self.warmed_up:
            return torch.ones(self.num_timesteps, dtype=torch.float64)
        second_moment = (self.history**2).mean(dim=1).sqrt()
        total = second_moment.sum()
        if total == 0:  # a perfect model: nothing is more important than anything else
            return torch.full_like(second_moment, 1 / self.num_timesteps)
        return second_moment / total * (1 - self.uniform_share) + self.uniform_share / self.num_timesteps

    def draw(self, batch_size: int, generator: torch.Generator) -> DrawnTimesteps:
        weights = self.weights()
        probabilities = weights / weights.sum()
        t = torch.multinomial(probabilities, batch_size, replacement=True, generator=generator)
        return DrawnTimesteps(t, (1.0 / (self.num_timesteps * probabilities[t])).float())

    def update(self, t: Tensor, losses: Tensor) -> None:
        capacity = self.history.shape[1]
        for step, loss in zip(t.tolist(), losses.double().tolist(), strict=True):
            count = int(self.counts[step])
            if count == capacity:
                self.history[step] = self.history[step].roll(-1)
                self.history[step, -1] = loss
            else:
                self.history[step, count] = loss
                self.counts[step] += 1

    def state_dict(self) -> dict[str, Tensor]:
        return {"history": self.history.clone(), "counts": self.counts.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.history.copy_(state["history"])
        self.counts.copy_(state["counts"])
