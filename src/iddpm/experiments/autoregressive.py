"""Autoregressive models with exact likelihoods, for comparison: a gated PixelCNN and a transformer.

Both read an item's grey levels in raster order, channels innermost (R, G, B of a pixel, then the next pixel), and give
every value's distribution over all levels given those before it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.config import DatasetSpec


class Autoregressive(nn.Module, ABC):
    """Grey levels (int64, `[batch, channels, height, width]`) to the bits/dim of every item."""

    spec: DatasetSpec

    @abstractmethod
    def logits(self, items: Tensor) -> Tensor:
        """`[batch, levels, channels, height, width]`: of each value, given those before it."""

    def forward(self, items: Tensor) -> Tensor:
        """Bits/dim, `[batch]`: exact."""
        nats = F.cross_entropy(self.logits(items), items, reduction="none")
        return nats.flatten(1).mean(dim=1) / math.log(2)


class MaskedConvolution(nn.Conv2d):
    """A convolution that sees pixels before its own, and of its own pixel the channels before (or up to) a feature's.

    Features come in as many groups as the data has channels; group c of the output may see the data's channels before
    c of its own pixel (`is_first`: the input is the data), or also what is made of c itself (later layers).
    """

    def __init__(self, inputs: int, outputs: int, size: int, groups: int, *, is_first: bool = False) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        mask = torch.zeros_like(self.weight)
        middle = size // 2
        mask[:, :, :middle] = 1
        mask[:, :, middle, :middle] = 1
        into = torch.arange(outputs) * groups // outputs
        of = torch.arange(inputs) * groups // inputs
        seen = of[None] < into[:, None] if is_first else of[None] <= into[:, None]
        mask[:, :, middle, middle] = seen.to(mask.dtype)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mask, Tensor)
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class GatedBlock(nn.Module):
    """A residual block: masked convolution, tanh times sigmoid (van den Oord et al. 2016), and a pixelwise one."""

    def __init__(self, width: int, size: int, groups: int) -> None:
        super().__init__()
        self.tanh = MaskedConvolution(width, width, size, groups)
        self.sigmoid = MaskedConvolution(width, width, size, groups)
        self.out = MaskedConvolution(width, width, 1, groups)

    def forward(self, x: Tensor) -> Tensor:
        h = F.elu(x)
        found: Tensor = x + self.out(torch.tanh(self.tanh(h)) * torch.sigmoid(self.sigmoid(h)))
        return found


class PixelCNN(Autoregressive):
    """Masked convolutions, gated, residual. Rows above are seen to a distance that grows with depth."""

    def __init__(self, spec: DatasetSpec, width: int, depth: int, size: int = 5) -> None:
        super().__init__()
        self.spec = spec
        groups = spec.channels
        width = -(-width // groups) * groups
        self.first = MaskedConvolution(spec.channels, width, 7, groups, is_first=True)
        self.blocks = nn.ModuleList(GatedBlock(width, size, groups) for _ in range(depth))
        self.last = MaskedConvolution(width, groups * spec.levels, 1, groups)
        nn.init.zeros_(self.last.weight)

    def logits(self, items: Tensor) -> Tensor:
        x = items.float() * (2 / (self.spec.levels - 1)) - 1
        h = self.first(x)
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(F.elu(h))
        return out.reshape(len(items), self.spec.channels, self.spec.levels, *self.spec.size).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention to all that came before, then a two-layer network, both residual and normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        found: Tensor = x + self.narrow(F.gelu(self.widen(self.norms[1](x))))
        return found


class Transformer(Autoregressive):
    """Full attention over every value before: the dense counterpart of the Sparse Transformer (Child et al. 2019)."""

    def __init__(self, spec: DatasetSpec, width: int, depth: int, heads: int = 4) -> None:
        super().__init__()
        self.spec = spec
        self.values = nn.Embedding(spec.levels + 1, width)  # the last one stands before the first value
        self.places = nn.Parameter(0.02 * torch.randn(spec.num_dims, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, spec.levels)
        nn.init.zeros_(self.last.weight)

    def logits(self, items: Tensor) -> Tensor:
        batch = len(items)
        order = items.permute(0, 2, 3, 1)  # channels innermost
        sequence = order.flatten(1)
        start = torch.full((batch, 1), self.spec.levels, device=items.device)
        h = self.values(torch.cat([start, sequence[:, :-1]], dim=1)) + self.places
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(self.norm(h))
        return out.reshape(*order.shape, self.spec.levels).permute(0, 4, 3, 1, 2)


MODELS: dict[str, Any] = {"PixelCNN": PixelCNN, "transformer": Transformer}
