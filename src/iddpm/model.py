"""A model: a network with its diffusion and what it knows of its data; `sampling` and `scoring` use it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iddpm.acceleration import (
    chosen_precision,
    compile_network,
    computing_in,
    is_worth_compiling,
    keep_freed_memory,
    set_up,
)
from iddpm.build import build_diffusion, build_network
from iddpm.config import Compile, Config, DatasetSpec, Precision
from iddpm.data import Dataset
from iddpm.data.dataset import Indices
from iddpm.diffusion import Diffusion
from iddpm.diffusion.process import Predict
from iddpm.errors import UserError
from iddpm.networks import UNet, Upsampler


class Model:
    """What `iddpm.load` gives, and what training makes.

    config, spec: how it was made, and for which data.
    network:      in evaluation mode, on `device`.
    diffusion:    on the whole chain; `diffusion.strided("50")` takes fewer steps.
    step:         optimizer steps behind its weights; weights: which ones they are ("raw" or "ema 0.9999").
    """

    def __init__(
        self, config: Config, spec: DatasetSpec, network: UNet, *, step: int = 0, weights: str = "raw"
    ) -> None:
        self.config = config
        self.spec = spec
        self.network = network.eval()
        self.diffusion: Diffusion = build_diffusion(config, spec)
        self.step = step
        self.weights = weights
        self.precision: Precision = "float32"

    @classmethod
    def fresh(cls, config: Config, spec: DatasetSpec) -> Model:
        """With initial weights."""
        return cls(config, spec, build_network(config, spec))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Model:
        """Moved there, in the memory layout that is fastest."""
        if len(self.spec.size) == 2:
            self.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            self.network.to(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        return self

    def accelerate(
        self, *, calls: int, precision: Precision = "auto", compile: Compile = "auto", tell: Callable[[str], None]
    ) -> Model:
        """Made ready on its device for about `calls` of the network.

        Precision and compilation as asked for, see `acceleration`; `tell` is given a line about whatever is not to be
        had. Without this call a model computes as torch is set to, and without torch's compiler.
        """
        self.precision = chosen_precision(precision, self.device, training=False)
        set_up(self.device, self.precision)
        if is_worth_compiling(compile, self.device, calls):
            compile_network(self.network, tell)
        return self

    def predict(self, classes: Tensor | None = None, low_resolution: Tensor | None = None) -> Predict:
        """The network as the diffusion calls it, with its conditions bound (each with the batch's length)."""
        self._check_conditions(classes, low_resolution)
        network = self.network

        conditions = (classes, low_resolution) if isinstance(network, Upsampler) else (classes,)

        def call(x_t: Tensor, timesteps: Tensor) -> Tensor:
            with computing_in(self.precision, x_t.device):
                output: Tensor = network(x_t, timesteps, *conditions)
            return output.float()

        return call

    def _check_conditions(self, classes: Tensor | None, low_resolution: Tensor | None) -> None:
        if self.network.num_classes is None and classes is not None:
            raise UserError("class: this model knows no classes; train one with --network.classes")
        if self.network.num_classes is not None and classes is None:
            raise UserError("class: this model needs one for every image")
        count = self.network.num_classes
        if classes is not None and count and not bool(((classes >= 0) & (classes < count)).all()):
            raise UserError(f"class: must be 0 ... {count - 1}, got {sorted(set(classes.tolist()))}")
        if isinstance(self.network, Upsampler) != (low_resolution is not None):
            needs = "needs low-resolution images" if isinstance(self.network, Upsampler) else "is no upsampler"
            raise UserError(f"low-resolution: this model {needs}")

    def labels_of(self, dataset: Dataset, rows: Indices) -> Tensor | None:
        """The classes of a dataset's items as this model numbers them (by their names), for a model that needs them."""
        if self.network.num_classes is None:
            return None
        labels = dataset.labels(rows)
        unknown = set(dataset.spec.class_names) - set(self.spec.class_names)
        if labels is None or unknown:
            lacking = f"has others than the model's ({', '.join(sorted(unknown)[:5])})" if unknown else "has none"
            raise UserError(f"data: the model needs the class of every item, and the data {lacking}")
        numbers = np.array([self.spec.class_names.index(name) for name in dataset.spec.class_names])
        return torch.from_numpy(numbers[labels]).to(self.device)

    def conditions_of(self, x_0: Tensor, labels: Tensor | None) -> dict[str, Tensor | None]:
        """What the network is told of data `x_0` `[batch, channels, *size]` beside x_t: labels, a smaller copy."""
        return conditions_of(self.config, x_0, labels)


def conditions_of(config: Config, x_0: Tensor, labels: Tensor | None) -> dict[str, Tensor | None]:
    """See `Model.conditions_of`. The smaller copy is an average over blocks, as in the authors' training."""
    low = config.network.low_resolution
    return {
        "classes": labels if config.network.classes else None,
        "low_resolution": None if low is None else F.interpolate(x_0, (low,) * (x_0.ndim - 2), mode="area"),
    }
