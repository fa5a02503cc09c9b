"""Autoregressive models with exact likelihoods, for comparison: a gated PixelCNN and a transformer.

Both read an item's grey levels in raster order, channels innermost (R, G, B of a pixel, then the next pixel), and give
every value's distribution over all levels given those before it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.config import DatasetSpec
from iddpm.experiments.rivals.logistic_mixture import PARAMETERS, log_probabilities, scaled, spread


class Autoregressive(nn.Module, ABC):
    """A network from grey levels (int64, `[batch, channels, height, width]`) to the bits/dim of every item."""

    spec: DatasetSpec

    @abstractmethod
    def mixtures(self, items: Tensor) -> Tensor:
        """Return each value's mixture given those before it, `[batch, PARAMETERS, channels, height, width]`."""

    def scaled(self, items: Tensor) -> Tensor:
        """Return levels as numbers from -1 to 1."""
        return scaled(items, self.spec.levels, next(self.parameters()).dtype)

    def forward(self, items: Tensor) -> Tensor:
        """Return exact bits/dim, `[batch]`."""
        nats = -log_probabilities(self.mixtures(items), items, self.spec.levels)
        return nats.flatten(1).mean(dim=1) / math.log(2)


class RowsAbove(nn.Conv2d):
    """A convolution that sees its own row and those above, all columns of its kernel."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, (size // 2 + 1, size))

    def forward(self, x: Tensor) -> Tensor:
        above, beside = self.kernel_size[0] - 1, self.kernel_size[1] // 2
        return super().forward(F.pad(x, (beside, beside, above, 0)))


class PixelsBefore(nn.Conv2d):
    """A convolution that sees pixels before its own in the row, and of its own the channels before (or up to) its own.

    Features come in as many groups as the data has channels; group c of the output may see the data's channels before
    c of its own pixel (`is_first`: the input is the data), or also what is made of c itself (later layers).
    """

    def __init__(self, inputs: int, outputs: int, size: int, groups: int, *, is_first: bool = False) -> None:
        super().__init__(inputs, outputs, (1, size // 2 + 1))
        group_out = torch.arange(outputs)[:, None] * groups // outputs
        group_in = torch.arange(inputs)[None] * groups // inputs
        seen = group_in < group_out if is_first else group_in <= group_out
        mask = torch.ones_like(self.weight)
        mask[..., -1] = seen[..., None].to(mask.dtype)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mask, Tensor)
        return F.conv2d(F.pad(x, (self.kernel_size[1] - 1, 0)), self.weight * self.mask, self.bias)


def lowered(x: Tensor) -> Tensor:
    """Move rows down by one, so that what has seen its own row is of rows above alone."""
    return F.pad(x, (0, 0, 1, 0))[..., :-1, :]


class GatedBlock(nn.Module):
    """A layer of each stack, tanh times sigmoid, residual; the second also sees the first (Figure 2 there)."""

    def __init__(self, width: int, size: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.above = RowsAbove(width, 2 * width, size)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.before = PixelsBefore(width, 2 * width, size, groups)
        self.out = PixelsBefore(width, width, 1, groups)

    def forward(self, rows: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        above = self.above(rows)
        before = self.before(pixels) + self.across(lowered(above))
        tanh, sigmoid = before.unflatten(1, (self.groups, 2, -1)).unbind(dim=2)
        gated = (tanh.tanh() * sigmoid.sigmoid()).flatten(1, 2)
        tanh, sigmoid = above.chunk(2, dim=1)
        return rows + tanh.tanh() * sigmoid.sigmoid(), pixels + self.out(gated)


class PixelCNN(Autoregressive):
    """A stack of convolutions over rows above and one over pixels before, which together see all that came earlier.

    (Conditional Image Generation with PixelCNN Decoders, van den Oord et al. 2016.) They see 3 pixels far, and `size //
    2` more for every block.
    """

    def __init__(self, spec: DatasetSpec, width: int, depth: int, size: int = 3) -> None:
        super().__init__()
        self.spec = spec
        groups = spec.channels
        width = -(-width // groups) * groups
        self.above = RowsAbove(spec.channels, width, 7)
        self.before = PixelsBefore(spec.channels, width, 7, groups, is_first=True)
        self.blocks = nn.ModuleList(GatedBlock(width, size, groups) for _ in range(depth))
        self.last = PixelsBefore(width, groups * PARAMETERS, 1, groups)
        spread(self.last, groups)

    def mixtures(self, items: Tensor) -> Tensor:
        x = self.scaled(items)
        rows, pixels = self.above(x), self.before(x)
        for block in self.blocks:
            rows, pixels = block(rows, pixels)
        out: Tensor = self.last(F.elu(pixels))
        return out.reshape(len(items), self.spec.channels, PARAMETERS, *self.spec.size).transpose(1, 2)


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
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.norms[1](x))))
        return out


class Transformer(Autoregressive):
    """Full attention over every value before: the dense counterpart of the Sparse Transformer (Child et al. 2019).

    A value's place is, as there, the sum of vectors for its row, its column and its channel.
    """

    def __init__(self, spec: DatasetSpec, width: int, depth: int, heads: int = 4) -> None:
        super().__init__()
        self.spec = spec
        self.values = nn.Linear(2 * WAVES + 2, width)
        axes = (*spec.size, spec.channels)
        self.places = nn.ParameterList(0.3 * torch.randn(length, width) for length in axes)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, PARAMETERS)
        spread(self.last, 1)

    def mixtures(self, items: Tensor) -> Tensor:
        order = self.scaled(items).permute(0, 2, 3, 1)  # channels innermost
        before = F.pad(waves(order.flatten(1)[:, :-1]), (0, 0, 1, 0))  # nothing stands before the first value
        rows, columns, channels = self.places
        places = rows[:, None, None] + columns[:, None] + channels
        h = self.values(before) + places.flatten(0, 2)
        for block in self.blocks:
            h = block(h)
        out: Tensor = self.last(self.norm(h))
        return out.reshape(*order.shape, PARAMETERS).permute(0, 4, 3, 1, 2)


WAVES = 6
"""Frequencies, each twice the one before, at which the transformer sees a value."""


def waves(x: Tensor) -> Tensor:
    """Return numbers `[...]` from -1 to 1 as `[..., 2 * WAVES + 2]`: 1, themselves, and sines and cosines of them."""
    angles = x[..., None] * math.pi * 2.0 ** torch.arange(WAVES, device=x.device, dtype=x.dtype)
    return torch.cat([torch.ones_like(x)[..., None], x[..., None], angles.sin(), angles.cos()], dim=-1)


MODELS: dict[str, Callable[[DatasetSpec, int, int], Autoregressive]] = {
    "PixelCNN": PixelCNN,
    "transformer": Transformer,
}
"""Networks by name, made for data, of a width and a depth."""
