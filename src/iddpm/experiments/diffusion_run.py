"""A diffusion model as an experiment's subject: an ordinary training run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from iddpm.acceleration import choose_device
from iddpm.build import build_network
from iddpm.checkpoints.loading import load
from iddpm.checkpoints.run import RunDirectory, step_of
from iddpm.config import Config, DataConfig, DiffusionConfig, NetworkConfig
from iddpm.errors import DivergedError
from iddpm.experiments.data import fingerprint, opened, spec_of
from iddpm.experiments.experiment import JSON, Subject
from iddpm.model import Model
from iddpm.progress import Progress, Work
from iddpm.speed import count_flops
from iddpm.training import Session, Stepped
from iddpm.training.records import Records

LATER: list[tuple[str, str, Any]] = [("network", "conditions", [])]
"""Fields that came after runs were first stored, with the values of those runs, whose folders keep their names."""


@dataclass(frozen=True)
class DiffusionRun(Subject):
    """A run of `iddpm train`."""

    config: Config

    @property
    def seed(self) -> int:
        """The seed of its training and of what is drawn to measure it: runs of different seeds are independent."""
        return self.config.training.seed

    def identity(self) -> JSON:
        values = self.config.to_json()
        for section, field, value in LATER:
            if values[section][field] == value:
                del values[section][field]
        return values

    def make(self, folder: Path) -> Work[None]:
        session = Session(self.config, opened(self.config.data), folder, device=choose_device("auto"))
        with closing(session.events()) as events:
            try:
                for event in events:
                    match event:
                        case Stepped(step, steps, _):
                            yield Progress("training", step, steps)
                        case Progress():
                            yield event
            except GeneratorExit:  # whoever wanted the run has been told to stop
                session.save()
                raise
            except DivergedError as error:
                way = "train it to its end with other settings, and this command goes on"
                raise DivergedError(f"{error}\n  this run: {folder}; {way}") from None

    def check_data(self, folder: Path) -> None:
        """Raise UserError if there is such a run, and its data has changed since."""
        run = RunDirectory(folder)
        if run.exists:
            run.check_data(opened(self.config.data).spec, fingerprint(self.config.data))

    def is_made(self, folder: Path) -> bool:
        training, latest = self.config.training, RunDirectory(folder).latest()
        if latest is None or step_of(latest) < training.steps:
            return False
        records = Records(RunDirectory(folder).metrics).read() if training.validate_every else []
        # An interruption may have come between the last checkpoint and the last validation.
        return not training.validate_every or any(
            record["step"] == training.steps and "validation_bits" in record for record in records
        )

    def model(self, folder: Path, weights: str | None = None, step: int | None = None) -> Model:
        """Return the model, ready for work: after `step` (None: the last), with averaged weights unless told others."""
        place = folder if step is None else RunDirectory(folder).checkpoint(step)
        model = load(place, weights=weights).to(choose_device("auto"))
        return model.accelerate(calls=10_000, tell=lambda line: None)

    def flops(self) -> int:
        config = self.config
        step = _flops_of_step(config.network, config.data, config.diffusion.variance)
        return step * config.training.batch_size * config.training.steps

    def parameters(self) -> int:
        """Return the number of weights."""
        with torch.device("meta"):
            network = build_network(self.config, spec_of(self.config.data))
        return sum(weights.numel() for weights in network.parameters())


@cache
def _flops_of_step(network: NetworkConfig, data: DataConfig, variance: str) -> int:
    """Return the FLOPs of a step for an item of its batch: nothing else of a configuration decides it."""
    parts = {"network": network, "data": data, "diffusion": DiffusionConfig(variance=variance)}
    return count_flops(Config().model_copy(update=parts), spec_of(data)).training
