"""The class of an item, as a vector that joins the timestep's embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from iddpm.conditions.condition import Condition, ForRows
from iddpm.config import Config, DatasetSpec
from iddpm.data.dataset import Dataset, Indices
from iddpm.errors import Setting, UserError


class Classes(Condition):
    """Labels, int64 `[batch]`, numbers of `class_names`. Samples are of all classes in turn unless some are given."""

    name = "classes"
    module = "class_embedding"

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)

    @classmethod
    def from_config(cls, config: Config, spec: DatasetSpec) -> Classes | None:
        if not config.network.classes:
            return None
        if not spec.class_names:
            raise UserError(
                f"{config.data.source} has no labels",
                field="network.classes",
                way=["use ", Setting("network.classes", False)],
            )
        return cls(spec.class_names)

    def embedding(self, size: int) -> nn.Module:
        return nn.Embedding(len(self.class_names), size)

    def from_data(self, x_0: Tensor, dataset: Dataset, rows: Indices) -> Tensor:
        names = dataset.spec.class_names
        labels = dataset.labels(rows)
        unknown = set(names) - set(self.class_names)
        if labels is None or unknown:
            reason = f"has others than the model's ({', '.join(sorted(unknown)[:5])})" if unknown else "has none"
            raise UserError(f"the model needs the class of every item, and the data {reason}", field="data.source")
        if names != self.class_names:
            labels = np.array([self.class_names.index(name) for name in names])[labels]
        return torch.from_numpy(labels).to(x_0.device)

    def for_samples(self, given: object, count: int) -> ForRows:
        total = len(self.class_names)
        if given is None:
            return lambda rows: torch.tensor([row % total for row in rows])
        if isinstance(given, str | int):
            given = [given] * count
        if not isinstance(given, Sequence | Tensor | np.ndarray) or len(given) != count:
            size = len(given) if isinstance(given, Sequence | Tensor | np.ndarray) else type(given).__name__
            raise UserError(f"needs a class for each of {count} samples", field="classes", value=size)
        labels = torch.tensor([self.label(value) for value in given])
        return lambda rows: labels[rows.start : rows.stop]

    def label(self, value: object) -> int:
        """Return the number of a class from its name or number; UserError for one that the model does not know."""
        if isinstance(value, str):
            if value in self.class_names:
                return self.class_names.index(value)
            value = int(value) if value.isdecimal() else value
        total = len(self.class_names)
        if isinstance(value, str) or not 0 <= int(value) < total:  # type: ignore[call-overload]
            names = ", ".join(self.class_names[:10]) + (", ..." if total > 10 else "")
            raise UserError(
                f'"{value}" is none of {names}', field="classes", way=f"use a name, or a number 0 ... {total - 1}"
            )
        return int(value)  # type: ignore[call-overload, no-any-return]

    def check(self, values: Tensor) -> None:
        total = len(self.class_names)
        if not bool(((values >= 0) & (values < total)).all()):
            raise UserError(f"must be 0 ... {total - 1}", field="classes", value=sorted(set(values.tolist())))
