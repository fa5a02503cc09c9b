"""Self-attention over all positions of a feature map."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.networks.layers import group_norm, zeroed


class Attention(nn.Module):
    """A residual block of multi-head self-attention over positions: `[batch, channels, *size]` to the same.

    The output layer starts at zero. Channels of `qkv` are ordered by head, then query, key, value, as the authors'.
    norm_groups: see `group_count`.
    """

    def __init__(self, channels: int, num_heads: int, norm_groups: int | None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = group_norm(channels, norm_groups)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # [batch, positions, channels]
        qkv = self.qkv(tokens).unflatten(2, (self.num_heads, 3, channels // self.num_heads))
        query, key, value = qkv.permute(3, 0, 2, 1, 4).unbind(0)  # each [batch, heads, positions, channels of a head]
        mixed = F.scaled_dot_product_attention(query, key, value)
        update: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return x + update.transpose(1, 2).reshape(x.shape)
