"""The residual block, and halving and doubling a feature map."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from iddpm.networks.layers import AVERAGE_POOLS, convolution, group_norm, zeroed


class ResidualBlock(nn.Module):
    """Two convolutions around the embedding of the timestep: `[batch, in, *size]` -> `[batch, out, *size]`.

    embedding: after its SiLU, `[batch or 1, embedding_size]`, so that it is computed once for all blocks.

    scale_shift_norm: the embedding scales and shifts the second normalisation (the paper's); otherwise it is added
    before it. The last convolution starts at zero.
    norm_groups: see `group_count`.
    recompute: keep no activations for the backward pass but compute them again there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dimensions: int,
        embedding_size: int,
        dropout: float,
        scale_shift_norm: bool,
        norm_groups: int | None,
        recompute: bool,
    ) -> None:
        super().__init__()
        self.scale_shift_norm = scale_shift_norm
        self.recompute = recompute
        self.norm_in = group_norm(in_channels, norm_groups)
        self.conv_in = convolution(dimensions, in_channels, out_channels)
        self.embedding = nn.Linear(embedding_size, 2 * out_channels if scale_shift_norm else out_channels)
        self.norm_out = group_norm(out_channels, norm_groups)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(convolution(dimensions, out_channels, out_channels))
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else convolution(dimensions, in_channels, out_channels, kernel=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return recomputed(self._forward, self.recompute and self.training, x, embedding)

    def _forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(self.norm_in(x, silu=True))
        condition = self.embedding(embedding)
        if self.scale_shift_norm:
            h = self.norm_out(h, condition, silu=True)
        else:
            h = self.norm_out(h + condition.reshape(*condition.shape, *[1] * (x.ndim - 2)), silu=True)
        out: Tensor = self.conv_out(self.dropout(h))
        return out.add_(self.skip(x))  # in place: a convolution's gradient needs nothing of its result


class Downsample(nn.Module):
    """Divides the size by `strides`, with a strided convolution or by averaging."""

    def __init__(self, channels: int, *, strides: tuple[int, ...], convolutional: bool) -> None:
        super().__init__()
        dimensions = len(strides)
        self.resample: nn.Module
        if convolutional:
            self.resample = convolution(dimensions, channels, channels, stride=strides)
        else:
            self.resample = AVERAGE_POOLS[dimensions](strides)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resample(x)
        return out


class Upsample(nn.Module):
    """Multiplies the size by `strides`, to the nearest value, with or without a convolution after it."""

    def __init__(self, channels: int, *, strides: tuple[int, ...], convolutional: bool) -> None:
        super().__init__()
        self.strides = tuple(float(stride) for stride in strides)
        self.resample = convolution(len(strides), channels, channels) if convolutional else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.resample(F.interpolate(x, scale_factor=self.strides, mode="nearest"))
        return out


def recomputed(function: Callable[..., Tensor], active: bool, *inputs: Tensor) -> Tensor:
    """Return function(*inputs); if `active`, without keeping its activations for the backward pass."""
    if not active:
        return function(*inputs)
    out: Tensor = checkpoint(function, *inputs, use_reentrant=False)
    return out
