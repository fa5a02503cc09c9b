"""Distributions over grey levels: mixtures of logistic ones, cut into as many bins as there are levels.

(PixelCNN++, Salimans et al. 2017.) Unlike one probability a level, they begin with neighbours alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIXED = 10
"""Logistic distributions in a mixture."""
PARAMETERS = 3 * MIXED
"""Numbers a mixture: log weights (not normalised), means, and log scales, on levels scaled to -1 ... 1."""
LEAST_SCALE = -7.0
"""The least log scale, as there."""


def log_probabilities(mixtures: Tensor, values: Tensor, levels: int) -> Tensor:
    """Return nats `[batch, ...]` of grey levels (int64, alike), each by its mixture (`[batch, PARAMETERS, ...]`).

    A bin reaches half a level to both sides, the first and the last one to infinity: a mixture's bins sum to 1.
    """
    weights, means, scales = mixtures.chunk(3, dim=1)
    steepness = (-scales.clamp(min=LEAST_SCALE)).exp()
    half, centred = 1 / (levels - 1), scaled(values, levels, means.dtype)[:, None] - means
    upper, lower = steepness * (centred + half), steepness * (centred - half)
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), which does not cancel far from the mean
    between = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half * steepness))
    first, last = (values == 0)[:, None], (values == levels - 1)[:, None]
    bins = torch.where(first, F.logsigmoid(upper), torch.where(last, F.logsigmoid(-lower), between))
    return torch.logsumexp(weights.log_softmax(dim=1) + bins, dim=1)


def scaled(values: Tensor, levels: int, dtype: torch.dtype) -> Tensor:
    """Return levels as numbers from -1 to 1."""
    return values.to(dtype) * (2 / (levels - 1)) - 1


def spread(last: nn.Conv2d | nn.Linear, groups: int) -> None:
    """Let a layer, whose outputs are `[groups, PARAMETERS]`, begin with mixtures that cover all levels evenly."""
    means, scales = torch.linspace(-0.9, 0.9, MIXED), torch.full((MIXED,), math.log(0.2))
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    with torch.no_grad():
        last.bias.copy_(torch.cat([torch.zeros(MIXED), means, scales]).repeat(groups))
