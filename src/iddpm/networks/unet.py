"""The paper's U-Net (Section 4 of its appendix; the authors' `UNetModel`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.errors import Setting, UserError
from iddpm.networks.attention import Attention
from iddpm.networks.blocks import Downsample, ResidualBlock, Upsample
from iddpm.networks.embedding import TimestepEmbedding
from iddpm.networks.inputs import NetworkInput
from iddpm.networks.layers import convolution, group_count, group_norm, zeroed

NONE: Mapping[str, Tensor] = MappingProxyType({})
"""No conditions."""


class Stage(nn.Module):
    """A few layers in a row; the residual blocks among them are given the embedding."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, embedding) if isinstance(layer, ResidualBlock) else layer(x)
        return x


class Level(NamedTuple):
    """The kind of the blocks at one size of feature map: their width, and their heads where they attend."""

    residual: Callable[[int, int], ResidualBlock]
    attention: Callable[[int, int], Attention]
    width: int
    heads: int | None

    def layers(self, in_channels: int) -> list[nn.Module]:
        """Return the layers of one block."""
        residual = self.residual(in_channels, self.width)
        return [residual] if self.heads is None else [residual, self.attention(self.width, self.heads)]


def _encoder(
    stem: nn.Module, channels: int, levels: Sequence[Level], num_res_blocks: int, down: Callable[[int], nn.Module]
) -> tuple[nn.ModuleList, list[int]]:
    """Return the way down, and the widths of the feature maps that it hands over to the way up."""
    stages = nn.ModuleList([Stage(stem)])
    widths = [channels]
    for number, level in enumerate(levels):
        if number:
            stages.append(Stage(down(widths[-1])))
            widths.append(widths[-1])
        for _ in range(num_res_blocks):
            stages.append(Stage(*level.layers(widths[-1])))
            widths.append(level.width)
    return stages, widths


def _decoder(
    levels: Sequence[Level], skipped: list[int], num_res_blocks: int, up: Callable[[int], nn.Module]
) -> nn.ModuleList:
    """Return the way up: every stage reads the one before it beside a feature map from the way down."""
    stages = nn.ModuleList()
    current = levels[-1].width
    for number, level in reversed(list(enumerate(levels))):
        for block in range(num_res_blocks + 1):
            layers = level.layers(current + skipped.pop())
            current = level.width
            if number and block == num_res_blocks:
                layers.append(up(current))
            stages.append(Stage(*layers))
    return stages


class UNet(nn.Module):
    """Reads `(x_t, t)` and emits what the parameterization wants: `[batch, in, *size]` -> `[batch, out, *size]`.

    size:                  the data's size, one number a dimension (1, 2 or 3 of them).
    channels:              width of the first level; `channel_multipliers` gives the others, one number a level.
    attention_resolutions: widths of feature maps, in pixels along the last axis, at which attention is placed.
                           The innermost level has one in any case.
    num_heads_up:          heads on the way up, where they differ.
    conditions:            how the network takes in what it is told beside x_t and t.
    norm_groups:           of channels that are normalised together, see `group_count`. The authors' networks have 32.
    convolutional_resampling: strided convolutions and convolutions after doubling; otherwise plain averaging and
                           repeating.
    halve_depth:           in three dimensions, halve the first axis too. The authors' network halves the other two.
    timestep_scale:        see `TimestepEmbedding`.

    UserError for a configuration that cannot work, before any memory is spent on it.
    """

    def __init__(
        self,
        size: Sequence[int],
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 64,
        channel_multipliers: Sequence[int] = (1, 2),
        num_res_blocks: int = 2,
        attention_resolutions: Sequence[int] = (),
        num_heads: int = 4,
        num_heads_up: int | None = None,
        conditions: Sequence[NetworkInput] = (),
        dropout: float = 0.0,
        scale_shift_norm: bool = True,
        norm_groups: int | None = None,
        convolutional_resampling: bool = True,
        halve_depth: bool = False,
        recompute_activations: bool = False,
        timestep_scale: float = 1.0,
    ) -> None:
        super().__init__()
        heads = (num_heads, num_heads_up or num_heads)
        strides = (1, 2, 2) if len(size) == 3 and not halve_depth else (2,) * len(size)
        _check_shape(size, strides, channels, channel_multipliers, attention_resolutions, heads, norm_groups)
        self.size = tuple(size)
        self.strides = strides
        self.num_levels = len(channel_multipliers)
        self.conditions = {condition.name: condition for condition in conditions}
        embedding_size = 4 * channels
        residual = partial(
            ResidualBlock,
            dimensions=len(size),
            embedding_size=embedding_size,
            dropout=dropout,
            scale_shift_norm=scale_shift_norm,
            norm_groups=norm_groups,
            recompute=recompute_activations,
        )
        attention = partial(Attention, norm_groups=norm_groups)
        widths = [multiplier * channels for multiplier in channel_multipliers]
        down, up = (
            partial(kind, strides=strides, convolutional=convolutional_resampling) for kind in (Downsample, Upsample)
        )

        self.time_embedding = TimestepEmbedding(channels, embedding_size, timestep_scale)
        self.embeddings = self._add_embeddings(conditions, embedding_size)
        beside = sum(condition.channels for condition in conditions)
        stem = convolution(len(size), in_channels + beside, channels)
        levels = [
            Level(residual, attention, width, heads[0] if size[-1] // 2**number in attention_resolutions else None)
            for number, width in enumerate(widths)
        ]
        self.encoder, skipped = _encoder(stem, channels, levels, num_res_blocks, down)
        inner = widths[-1]
        self.middle = Stage(residual(inner, inner), attention(inner, heads[0]), residual(inner, inner))
        levels = [level._replace(heads=heads[1] if level.heads else None) for level in levels]
        self.decoder = _decoder(levels, skipped, num_res_blocks, up)
        self.norm_out = group_norm(widths[0], norm_groups)
        self.conv_out = zeroed(convolution(len(size), widths[0], out_channels))

    def _add_embeddings(self, conditions: Sequence[NetworkInput], size: int) -> dict[str, str]:
        """Add the modules of conditions that join the timestep's embedding; return their names by condition."""
        names = {}
        for condition in conditions:
            embedding = condition.embedding(size)
            if embedding is not None:
                names[condition.name] = condition.module or f"{condition.name}_embedding"
                self.add_module(names[condition.name], embedding)
        return names

    def forward(self, x: Tensor, t: Tensor, conditions: Mapping[str, Tensor] = NONE) -> Tensor:
        """Return the output at `x` `[batch, in, *size]` for original timesteps `t` and the conditions by name.

        `t` is `[batch]`, or `[1]` where the whole batch is at one timestep: its embedding is then computed once.
        """
        self._check_input(x, conditions)
        embedding = self.time_embedding(t)
        for name, module in self.embeddings.items():
            embedding = embedding + getattr(self, module)(conditions[name])
        embedding = F.silu(embedding)
        beside = [c.beside(conditions[name], x) for name, c in self.conditions.items() if c.channels]
        skipped = []
        h = torch.cat([x, *beside], dim=1) if beside else x
        for stage in self.encoder:
            h = stage(h, embedding)
            skipped.append(h)
        h = self.middle(h, embedding)
        for stage in self.decoder:
            h = stage(torch.cat([h, skipped.pop()], dim=1), embedding)
        out: Tensor = self.conv_out(self.norm_out(h, silu=True))
        return out

    def _check_input(self, x: Tensor, conditions: Mapping[str, Tensor]) -> None:
        if x.ndim != len(self.strides) + 2:
            raise UserError(f"needs [batch, channels] and {len(self.strides)} axes, got {tuple(x.shape)}", field="x")
        _check_divisible(x.shape[2:], self.strides, self.num_levels)
        if conditions.keys() != self.conditions.keys():
            made, given = (", ".join(names) or "none" for names in (self.conditions, conditions))
            raise UserError(f"the network was made with {made}, and is given {given}", field="conditions")


def _check_divisible(size: Sequence[int], strides: Sequence[int], num_levels: int) -> None:
    for length, stride in zip(size, strides, strict=True):
        factor = stride ** (num_levels - 1)
        if length % factor or length < factor:
            raise UserError(
                f"{'x'.join(map(str, size))} cannot be halved {num_levels - 1} times",
                field="data.size",
                way=[f"make every side a multiple of {factor}, or ", Setting("network.channel_multipliers"), " fewer"],
            )


def _check_shape(
    size: Sequence[int],
    strides: Sequence[int],
    channels: int,
    multipliers: Sequence[int],
    attention_resolutions: Sequence[int],
    heads: Sequence[int],
    norm_groups: int | None,
) -> None:
    if not 1 <= len(size) <= 3:
        raise UserError("the network works in 1, 2 or 3 dimensions", field="data.dimensions", value=len(size))
    if not multipliers:
        raise UserError("needs at least one level", field="network.channel_multipliers")
    _check_divisible(size, strides, len(multipliers))
    widths = [size[-1] // 2**level for level in range(len(multipliers))]
    for resolution in attention_resolutions:
        if resolution not in widths:
            raise UserError(
                f"{resolution} is not the width of a feature map",
                field="network.attention_resolutions",
                way=f"at size {size[-1]} and {len(widths)} levels there are {', '.join(map(str, widths))}",
            )
    smallest = math.prod(n // s ** (len(multipliers) - 1) for n, s in zip(size, strides, strict=True))
    innermost = multipliers[-1] * channels
    if smallest * innermost <= group_count(innermost, norm_groups):
        raise UserError(
            f"{len(multipliers)} levels leave one position of {innermost} channels, which normalisation makes zero",
            field="network.channel_multipliers",
            way="use fewer levels or more channels",
        )
    attending = [m * channels for m, w in zip(multipliers, widths, strict=True) if w in attention_resolutions]
    for width in [*attending, multipliers[-1] * channels]:
        for count in heads:
            if width % count:
                raise UserError(
                    f"{count} heads do not divide {width} channels", field="network.num_heads", way="use 1, 2 or 4"
                )
