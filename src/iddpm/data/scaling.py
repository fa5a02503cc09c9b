"""Grey levels to the numbers that the mathematics works on, [-1, 1], and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Levels = NDArray[np.unsignedinteger[Any]]
"""Grey levels, 0 ... levels - 1: uint8, or uint16 where there are more than 256."""


def scale(items: Levels, levels: int) -> Tensor:
    """Return levels 0 ... levels - 1 as float32 in [-1, 1]."""
    return torch.from_numpy(items.astype(np.float32)) * (2.0 / (levels - 1)) - 1.0


def quantize(x: Tensor, levels: int) -> Levels:
    """Return the nearest levels of numbers in [-1, 1]: rounded, not truncated."""
    rounded = ((x.detach().float().clamp(-1.0, 1.0) + 1.0) * ((levels - 1) / 2.0)).round()
    quantized: Levels = rounded.cpu().numpy().astype(np.uint8 if levels <= 256 else np.uint16)
    return quantized
