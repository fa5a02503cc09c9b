"""Exponential moving averages of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Averages:
    """One moving average of a network's weights for each rate: average += (1 - rate) * (weights - average).

    warmup: use the rate min(rate, (1 + step) / (10 + step)), so that an early average is of the weights since then
    rather than the initial ones. Without it, 0.9999 still holds 37 % of the initial weights after 10,000 steps.
    """

    def __init__(self, network: nn.Module, rates: Sequence[float], *, warmup: bool) -> None:
        self._warmup = warmup
        self._state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
        self._names = [name for name, tensor in self._state.items() if tensor.is_floating_point()]
        self._weights = [self._state[name] for name in self._names]
        self._averages = {rate: [weight.clone() for weight in self._weights] for rate in rates}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages after optimizer step number `step` (the first is 1)."""
        for rate, average in self._averages.items():
            effective = min(rate, (1 + step) / (10 + step)) if self._warmup else rate
            torch._foreach_lerp_(average, self._weights, 1.0 - effective)

    def state_dicts(self) -> dict[float, dict[str, Tensor]]:
        """Return the averages by rate, as state dicts of the network (not copied). Counters are as they are."""
        return {
            rate: {**self._state, **dict(zip(self._names, average, strict=True))}
            for rate, average in self._averages.items()
        }

    def load_state_dicts(self, states: Mapping[float, Mapping[str, Tensor]]) -> None:
        """Take up what `state_dicts` returned."""
        for rate, average in self._averages.items():
            for name, tensor in zip(self._names, average, strict=True):
                tensor.copy_(states[rate][name])
