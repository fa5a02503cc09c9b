"""The U-Net that also sees a low-resolution image (the authors' `SuperResModel`, Section 6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from iddpm.errors import UserError
from iddpm.networks.unet import UNet

INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Upsampler(UNet):
    """A `UNet` whose input is `x_t` beside the enlarged low-resolution image, in twice the channels."""

    def __init__(self, size: tuple[int, ...], in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(size, 2 * in_channels, out_channels, **options)

    def forward(
        self, x: Tensor, t: Tensor, classes: Tensor | None = None, low_resolution: Tensor | None = None
    ) -> Tensor:
        """As `UNet.forward`, with `low_resolution` `[batch, in, *smaller size]` in [-1, 1]."""
        if low_resolution is None:
            raise UserError("low_resolution: an upsampler needs the images that it is to enlarge")
        enlarged = F.interpolate(low_resolution, x.shape[2:], mode=INTERPOLATION[x.ndim - 2], align_corners=False)
        return super().forward(torch.cat([x, enlarged], dim=1), t, classes)
