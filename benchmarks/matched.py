"""The networks that the comparison is about, ours and the peers', as alike as the peers can make them.

S is a small network for 8x8 grey images, M a middling one for 32x32 colour images, L the paper's for CIFAR-10, and I
its for ImageNet at 64x64, which wants a GPU.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """A network's size and the data it is for, in the terms of the paper."""

    name: str
    side: int
    image_channels: int
    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    heads: int = 4

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one image."""
        return (self.image_channels, self.side, self.side)


SIZES = {
    "S": Size("S", 8, 1, 64, (1, 2), 2, (4,)),
    "M": Size("M", 32, 3, 64, (1, 2, 2, 2), 2, (16, 8)),
    "L": Size("L", 32, 3, 128, (1, 2, 2, 2), 3, (16, 8)),
    "I": Size("I", 64, 3, 128, (1, 2, 3, 4), 3, (16, 8)),
}


class Diffusers(nn.Module):
    """`diffusers.UNet2DModel` with the paper's scale-shift normalisation and as many blocks, widths and heads."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        widths = [multiplier * size.channels for multiplier in size.multipliers]
        attends = [size.side // 2**level in size.attention for level in range(len(widths))]
        self.network = UNet2DModel(
            sample_size=size.side,
            in_channels=size.image_channels,
            out_channels=2 * size.image_channels,
            layers_per_block=size.blocks,
            block_out_channels=tuple(widths),
            down_block_types=tuple("AttnDownBlock2D" if at else "DownBlock2D" for at in attends),
            up_block_types=tuple("AttnUpBlock2D" if at else "UpBlock2D" for at in reversed(attends)),
            attention_head_dim=widths[-1] // size.heads,
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        out: Tensor = self.network(x, t).sample
        return out


def ddp(size: Size, *, learned_variance: bool = True) -> nn.Module:
    """denoising-diffusion-pytorch's `Unet`: its own architecture, with fewer FLOPs at the same widths."""
    stand_in_for_torchvision()
    from denoising_diffusion_pytorch import Unet

    attends = tuple(size.side // 2**level in size.attention for level in range(len(size.multipliers)))
    network: nn.Module = Unet(
        dim=size.channels,
        dim_mults=size.multipliers,
        channels=size.image_channels,
        out_dim=(2 if learned_variance else 1) * size.image_channels,
        full_attn=attends,
        attn_heads=size.heads,
    )
    return network


def stand_in_for_torchvision() -> None:
    """Let denoising-diffusion-pytorch be imported without torchvision and pytorch-fid: its networks use neither."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.utils", "torchvision.datasets"):
        _stand_in(name)
    for name in ("pytorch_fid", "pytorch_fid.fid_score", "pytorch_fid.inception"):
        _stand_in(name)


class _Anything(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"BLOCK_INDEX_BY_DIM": {2048: 0}})


def _stand_in(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        module = _Anything(name)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def parameters(network: nn.Module) -> int:
    """Return how many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def flops(network: nn.Module, size: Size) -> int:
    """Return the operations of one image's forward pass, as torch counts: two for a multiplication with an addition."""
    from torch.utils.flop_counter import FlopCounterMode

    # Without memory, where attention is plain products: torch does not count its fused kernel for CPUs.
    network = network.to("meta")
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *size.shape), torch.zeros(1, dtype=torch.long))
    return int(counter.get_total_flops())
