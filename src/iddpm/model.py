"""A model: a network with its diffusion, its conditions, and the spec of its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from iddpm.acceleration import (
    chosen_precision,
    compile_network,
    computing_in,
    is_worth_compiling,
    keep_freed_memory,
    set_up,
)
from iddpm.build import build_diffusion, build_network
from iddpm.conditions import Condition, Conditions, conditions_of
from iddpm.config import Config, DatasetSpec
from iddpm.data import Dataset
from iddpm.data.dataset import Indices
from iddpm.diffusion import Diffusion
from iddpm.diffusion.process import Predict
from iddpm.errors import UserError
from iddpm.names import Compile, Precision
from iddpm.networks.unet import NONE


class Model:
    """A network that samples and scores: what `iddpm.load` and `iddpm.train` return, or your own.

    network:    called as `network(x_t, t)`, or `network(x_t, t, conditions)` with conditions; in evaluation mode.
    diffusion:  on the whole chain; `diffusion.strided("50")` takes fewer steps.
    spec:       of the data that it is made for.
    conditions: what the network is told beside x_t and t.
    config:     how it was made; None for one's own network.
    step, weights: optimizer steps behind its weights, and which ones they are ("raw" or "ema 0.9999").
    """

    def __init__(
        self,
        network: nn.Module,
        diffusion: Diffusion,
        spec: DatasetSpec,
        conditions: Sequence[Condition] = (),
        *,
        config: Config | None = None,
        step: int = 0,
        weights: str = "raw",
    ) -> None:
        self.network = network.eval()
        self.diffusion = diffusion
        self.spec = spec
        self.conditions = {condition.name: condition for condition in conditions}
        self._config = config
        self.step = step
        self.weights = weights
        self.precision: Precision = "float32"

    @classmethod
    def from_config(cls, config: Config, spec: DatasetSpec) -> Model:
        """Return a model with initial weights."""
        conditions = conditions_of(config, spec)
        network = build_network(config, spec, conditions)
        return cls(network, build_diffusion(config, spec), spec, conditions, config=config)

    @property
    def is_own(self) -> bool:
        """Return whether the model is somebody's own: no configuration made it."""
        return self._config is None

    @property
    def config(self) -> Config:
        """The configuration that the model was made with; UserError for one's own network, which has none."""
        if self._config is None:
            raise UserError("this model has no configuration", field="model", way="give one to Model(..., config=...)")
        return self._config

    @property
    def device(self) -> torch.device:
        """The device that the network is on."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Model:
        """Move the network there, in the memory layout that is fastest, and return the model."""
        if len(self.spec.size) == 2:
            self.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            self.network.to(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        return self

    def accelerate(
        self,
        *,
        calls: int = 1,
        precision: Precision = "auto",
        compile: Compile = "auto",
        tell: Callable[[str], None] = warn,
    ) -> Model:
        """Make the model ready on its device for about `calls` of the network, and return it.

        Without this call it computes in float32, without torch's compiler. precision, compile: see `names`; `tell` is
        given a line about whatever is not available.
        """
        self.precision = chosen_precision(precision, self.device, training=False)
        set_up(self.device, self.precision)
        if is_worth_compiling(compile, self.device, calls):
            compile_network(self.network, tell)
        return self

    def predict(self, conditions: Conditions = NONE) -> Predict:
        """Return the network as the diffusion calls it, with its conditions bound (each with the batch's length)."""
        self._check_names(conditions, missing=True)
        for name, values in conditions.items():
            self.conditions[name].check(values)
        inputs = (dict(conditions),) if conditions else ()

        def call(x_t: Tensor, timesteps: Tensor) -> Tensor:
            with computing_in(self.precision, x_t.device):
                output: Tensor = self.network(x_t, timesteps, *inputs)
            return output.float()

        return call

    def conditions_from(self, x_0: Tensor, dataset: Dataset, rows: Indices) -> Conditions:
        """Return what the network is told of a dataset's items at `rows`, which are `x_0` on the model's device."""
        return {name: condition.from_data(x_0, dataset, rows) for name, condition in self.conditions.items()}

    def conditions_for(self, given: Mapping[str, Any], count: int) -> Callable[[range], Conditions]:
        """Return the conditions of `count` samples as a function of some of their rows.

        given: what a user gave, by the names of conditions; what is left out is made up (classes: all in turn).
        UserError for a condition that the model does not have, or that must be given.
        """
        self._check_names(given, missing=False)
        values = {name: c.for_samples(given.get(name), count) for name, c in self.conditions.items()}
        return lambda rows: {name: of_rows(rows).to(self.device) for name, of_rows in values.items()}

    def _check_names(self, given: Mapping[str, Any], *, missing: bool) -> None:
        for name in given:
            if name not in self.conditions:
                names = ", ".join(self.conditions)
                way = f"it knows {names}" if names else "leave it out"
                raise UserError("this model was trained without it", field=name, way=way)
        if missing and (absent := [name for name in self.conditions if name not in given]):
            raise UserError("this model needs a value for every item", field=absent[0])
