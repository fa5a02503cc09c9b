"""Timesteps as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MAX_PERIOD = 10_000


def sinusoidal_embedding(t: Tensor, size: int) -> Tensor:
    """Return cosines and sines of `t` (float `[batch]`) at geometric frequencies, 1 to 1 / 10,000: `[batch, size]`.

    All cosines come first, and an odd `size` ends in a zero: the order that the authors' weights know.
    """
    half = size // 2
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t[:, None].float() * frequencies[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return nn.functional.pad(embedding, (0, size % 2))


class TimestepEmbedding(nn.Module):
    """The original timestep, scaled, as sinusoids through two layers: `[batch]` -> `[batch, size]`.

    scale: the factor of timesteps. The authors' `rescale_timesteps` is 1000 / T, which shows the
    network 0 ... 1000 whatever T; without it the scale is 1. This is the only place where timesteps are scaled.
    """

    def __init__(self, channels: int, size: int, scale: float) -> None:
        super().__init__()
        self.channels = channels
        self.scale = scale
        self.layers = nn.Sequential(nn.Linear(channels, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self, t: Tensor) -> Tensor:
        sinusoids = sinusoidal_embedding(t.float() * self.scale, self.channels)
        embedding: Tensor = self.layers(sinusoids)
        return embedding
