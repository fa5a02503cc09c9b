"""Grey levels to the numbers that the mathematics works on, [-1, 1], and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from iddpm.data.dataset import Levels


def scale(items: Levels, levels: int) -> Tensor:
    """Grey levels 0 ... levels - 1 as float32 in [-1, 1]."""
    return torch.from_numpy(items.astype(np.float32)) * (2.0 / (levels - 1)) - 1.0


def quantize(x: Tensor, levels: int) -> Levels:
    """Numbers in [-1, 1] as the nearest grey levels: rounded, not truncated."""
    rounded = ((x.detach().float().clamp(-1.0, 1.0) + 1.0) * ((levels - 1) / 2.0)).round()
    quantized: Levels = rounded.cpu().numpy().astype(np.uint8 if levels <= 256 else np.uint16)
    return quantized
