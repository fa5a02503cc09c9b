"""The low-resolution images that an upsampler enlarges, as channels beside x_t (Section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iddpm.conditions.condition import Condition, ForRows
from iddpm.config import Config, DataConfig, DatasetSpec
from iddpm.data import Dataset, opening
from iddpm.data.dataset import Indices
from iddpm.data.opening import heeded
from iddpm.errors import UserError
from iddpm.progress import Work

INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


class LowResolution(Condition):
    """Smaller copies of the items in [-1, 1], `[batch, channels, *smaller size]`, of sides `side`.

    data: how images to enlarge are read from a data source.
    """

    name = "low_resolution"
    needs_data = True

    def __init__(self, channels: int, side: int, data: DataConfig) -> None:
        self.channels = channels
        self.side = side
        self.data = data

    @classmethod
    def from_config(cls, config: Config, spec: DatasetSpec) -> LowResolution | None:
        side = config.network.low_resolution
        if side is None:
            return None
        if any(length % side for length in spec.size):
            size = "x".join(map(str, spec.size))
            raise UserError(f"{side} does not divide the data's size {size}", field="network.low_resolution")
        changes = {
            "size": side,
            "channels": spec.channels,
            "levels": spec.levels,
            "num_classes": None,
            "validation": 0.0,
        }
        return cls(spec.channels, side, config.data.model_copy(update=changes))

    def beside(self, value: Tensor, x_t: Tensor) -> Tensor:
        return F.interpolate(value, x_t.shape[2:], mode=INTERPOLATION[x_t.ndim - 2], align_corners=False)

    def from_data(self, x_0: Tensor, dataset: Dataset, rows: Indices) -> Tensor:
        """Return averages over blocks of the items, as in the authors' training."""
        return F.interpolate(x_0, (self.side,) * (x_0.ndim - 2), mode="area")

    def for_samples(self, given: Tensor | Dataset | Callable[[range], Tensor] | None, count: int) -> ForRows:
        if given is None:
            raise UserError("an upsampler needs the images that it is to enlarge", field="low_resolution")
        if isinstance(given, Dataset):
            if len(given) < count:
                raise UserError(f"needs an image for each of {count} samples", field="low_resolution", value=len(given))
            dataset = given
            return lambda rows: dataset.batch(np.array(rows))
        if isinstance(given, Tensor):
            if len(given) != count:
                raise UserError(f"needs an image for each of {count} samples", field="low_resolution", value=len(given))
            images = given
            return lambda rows: images[rows.start : rows.stop]
        return given

    def read(self, text: str, count: int) -> Work[Any]:
        """Open the data source `text`, in the size, channels and levels that the model was trained on."""
        splits = yield from opening(heeded(self.data.model_copy(update={"source": text})))
        return splits.train

    def check(self, values: Tensor) -> None:
        expected = (self.channels, *(self.side,) * (values.ndim - 2))
        if not torch.is_floating_point(values) or tuple(values.shape[1:]) != expected:
            raise UserError(
                f"must be images of {'x'.join(map(str, expected))} in [-1, 1]",
                field="low_resolution",
                value="x".join(map(str, values.shape[1:])),
            )
