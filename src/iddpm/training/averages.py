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
        self._weights = [parameter.detach() for parameter in network.state_dict().values()]
        self._names = list(network.state_dict())
        self._averages = {rate: [weight.clone() for weight in self._weights] for rate in rates}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step number `step` (the first is 1)."""
        for rate, average in self._averages.items():
            effective = min(rate, (1 + step) / (10 + step)) if self._warmup else rate
            torch._foreach_lerp_(average, self._weights, 1.0 - effective)

    def state_dicts(self) -> dict[float, dict[str, Tensor]]:
        """The averages by rate, as state dicts of the network (not copied)."""
        return {rate: dict(zip(self._names, average, strict=True)) for rate, average in self._averages.items()}

    def load_state_dicts(self, states: Mapping[float, Mapping[str, Tensor]]) -> None:
        """The reverse of `state_dicts`."""
        for rate, average in self._averages.items():
            for name, tensor in zip(self._names, average, strict=True):
                tensor.copy_(states[rate][name])
