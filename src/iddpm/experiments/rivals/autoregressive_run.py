"""An autoregressive model as an experiment's subject: in training, and scored."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from iddpm.acceleration import choose_device
from iddpm.config import DatasetSpec
from iddpm.data.scaling import Levels
from iddpm.diffusion.randomness import mixed_seed
from iddpm.experiments.data import held_out_of, images_spec, opened, spec_of
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Measure
from iddpm.experiments.rivals.autoregressive import MODELS, Autoregressive
from iddpm.experiments.rivals.learner import Learner, Rival, average, count_flops, module_state
from iddpm.progress import Progress, Work

BATCHES = 5
"""Stream of a run's seed that its batches are drawn from."""


class Settings(NamedTuple):
    """A rival's size, and how it is trained."""

    width: int
    depth: int
    learning_rate: float
    warmup_steps: int = 100
    average_rate: float = 0.995
    batch_size: int | None = None
    """None takes the diffusion model's."""


@dataclass(frozen=True)
class AutoregressiveRun(Rival):
    """A PixelCNN or a transformer in training: AdamW, warm-up and linear decay, averaged weights."""

    kind: str
    settings: Settings
    version = 3
    checkpoint_every = 100

    @classmethod
    def with_budget(cls, run: DiffusionRun, kind: str, settings: Settings) -> AutoregressiveRun:
        """Return a run of as many steps as take the FLOPs of `run`'s training, with its data and seed."""
        config = run.config
        size = settings.batch_size or config.training.batch_size
        item_flops, _ = _cost(kind, settings, images_spec(config.data, "a rival of likelihood"))
        steps = max(1, run.flops() // (item_flops * size))
        return cls(config.data, steps, size, run.seed, kind, settings)

    def learner(self) -> Learner:
        return _Learner(self)

    def item_flops(self) -> int:
        return _cost(self.kind, self.settings, spec_of(self.data))[0]

    def parameters(self) -> int:
        """Return the number of weights."""
        return _cost(self.kind, self.settings, spec_of(self.data))[1]

    def network(self) -> Autoregressive:
        """Return the network before its training."""
        return MODELS[self.kind](opened(self.data).spec, self.settings.width, self.settings.depth)

    def model(self, folder: Path) -> Autoregressive:
        """Return the network with averaged weights."""
        network = self.network()
        network.load_state_dict(module_state(folder, "average"))
        return network.eval().to(choose_device("auto"))


@cache
def _cost(kind: str, settings: Settings, spec: DatasetSpec) -> tuple[int, int]:
    """Return the FLOPs of a forward and a backward pass of one item, and the number of weights."""
    with torch.device("meta"):
        network = MODELS[kind](spec, settings.width, settings.depth)
        items = torch.zeros(1, *spec.shape, dtype=torch.long)
    count = sum(weights.numel() for weights in network.parameters())
    return count_flops(lambda: network(items).sum().backward()), count


class _Learner(Learner):
    def __init__(self, run: AutoregressiveRun) -> None:
        self._run = run
        self._data = opened(run.data).train
        self._device = choose_device("auto")
        torch.manual_seed(run.seed)
        self._network = run.network().to(self._device)
        self._average = copy.deepcopy(self._network)
        self._optimizer = torch.optim.AdamW(self._network.parameters(), lr=run.settings.learning_rate, weight_decay=0.0)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self._network, "average": self._average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimizer": self._optimizer}

    def learn(self, step: int) -> None:
        run, settings = self._run, self._run.settings
        generator = np.random.default_rng(mixed_seed(run.seed, step, BATCHES))
        rows = generator.integers(0, len(self._data), run.batch_size)
        for group in self._optimizer.param_groups:
            warm = min(1.0, (step + 1) / settings.warmup_steps)
            group["lr"] = settings.learning_rate * warm * (1 - step / run.steps)
        self._network(_indices(self._data.items(rows), self._device)).mean().backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        average(self._average, self._network, step, settings.average_rate)


def _indices(items: Levels, device: torch.device) -> Tensor:
    return torch.from_numpy(items.astype(np.int64)).to(device)


@dataclass(frozen=True)
class ExactBits(Measure[AutoregressiveRun]):
    """An autoregressive model's bits/dim on held-out items."""

    count: int

    @torch.no_grad()
    def take(self, subject: AutoregressiveRun, folder: Path, shared: Path) -> Work[JSON]:
        network, device = subject.model(folder), choose_device("auto")
        held_out = held_out_of(subject.data)
        count = min(self.count, len(held_out))
        batches: list[Tensor] = []
        for start in range(0, count, 64):
            rows = np.arange(start, min(start + 64, count))
            batches.append(network(_indices(held_out.items(rows), device)).double().cpu())
            yield Progress("scoring", min(start + 64, count), count)
        bits = torch.cat(batches)
        return {"bits": float(bits.mean()), "error": float(bits.std()) / math.sqrt(count), "items": count}
