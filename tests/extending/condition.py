"""A condition: the mean and the spread of an item's brightness, as a vector that joins the timestep's embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from iddpm.conditions import Condition
from iddpm.data import Dataset
from iddpm.errors import UserError
from iddpm.names import CONDITIONS
from iddpm.progress import Work, ready


class Brightness(Condition):
    """Two numbers an item, float32 `[batch, 2]`."""

    name = "brightness"

    def embedding(self, size: int) -> nn.Module:
        return nn.Linear(2, size)

    def from_data(self, x_0: Tensor, dataset: Dataset, rows: Any) -> Tensor:
        flat = x_0.flatten(1)
        return torch.stack([flat.mean(dim=1), flat.std(dim=1)], dim=1)

    def for_samples(self, given: Any, count: int) -> Callable[[range], Tensor]:
        values = torch.tensor([-0.4, 0.7]) if given is None else torch.as_tensor(given, dtype=torch.float32)
        return lambda rows: values.expand(count, 2)[rows.start : rows.stop]

    def read(self, text: str, count: int) -> Work[Any]:
        numbers = text.split(",")
        if len(numbers) != 2:
            raise UserError("needs a mean and a spread", field="brightness", value=text, way="give e.g. -0.4,0.7")
        return ready([float(number) for number in numbers])


CONDITIONS.register("brightness", Brightness, "mean and spread of the brightness, such as -0.4,0.7")
