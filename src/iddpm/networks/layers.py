"""The layers that differ with the number of dimensions, and the paper's normalisation."""

from __future__ import annotations

import math

from torch import Tensor, nn

from iddpm.kernels.convolution import TransformedWeights, conv3x3
from iddpm.kernels.norm_silu import norm_silu

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {
    1: nn.Conv1d,
    2: nn.Conv2d,
    3: nn.Conv3d,
}
AVERAGE_POOLS: dict[int, type[nn.AvgPool1d] | type[nn.AvgPool2d] | type[nn.AvgPool3d]] = {
    1: nn.AvgPool1d,
    2: nn.AvgPool2d,
    3: nn.AvgPool3d,
}
MOST_GROUPS = 32
FEWEST_CHANNELS = 4
"""Groups of normalisation, as in the authors' networks of 128 channels."""


def convolution(
    dimensions: int, in_channels: int, out_channels: int, kernel: int = 3, stride: int | tuple[int, ...] = 1
) -> nn.Module:
    """Return a convolution that keeps the size but for its stride."""
    if (dimensions, kernel, stride) == (2, 3, 1):
        return Convolution3x3(in_channels, out_channels)
    return CONVOLUTIONS[dimensions](in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)  # type: ignore[arg-type]


class Convolution3x3(nn.Conv2d):
    """torch's, with stride 1 and a border of zeros, by `kernels.convolution.conv3x3`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self._transformed = TransformedWeights()

    def forward(self, x: Tensor) -> Tensor:
        return conv3x3(x, self.weight, self.bias, self._transformed)


class GroupNorm(nn.GroupNorm):
    """Group normalisation, and in the same pass what the network does next.

    `[batch, channels, *size]` to the same; scale_shift: `[batch or 1, 2 channels]`, see `norm_silu`.
    """

    def forward(self, x: Tensor, scale_shift: Tensor | None = None, *, silu: bool = False) -> Tensor:
        return norm_silu(x, self.weight, self.bias, scale_shift, groups=self.num_groups, eps=self.eps, silu=silu)


def group_norm(channels: int, groups: int | None = None) -> GroupNorm:
    """Group normalisation in `group_count` groups."""
    return GroupNorm(group_count(channels, groups), channels)


def group_count(channels: int, groups: int | None) -> int:
    """Return as many of `groups` as divide the channels; for None up to 32, each of 4 channels at least.

    A channel alone in its group has no mean left: what differs between images as a whole, their colour first, is lost.
    """
    if groups is not None:
        return math.gcd(groups, channels)
    most = min(MOST_GROUPS, max(1, channels // FEWEST_CHANNELS))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def zeroed(module: nn.Module) -> nn.Module:
    """Set all parameters of a module to zero, so that a residual branch starts as nothing, and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
