"""Models that diffusion is compared with: trained with as much compute, by a loop that goes on where it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iddpm.checkpoints.weights import read_tensors
from iddpm.config import DataConfig
from iddpm.experiments.experiment import JSON, Subject
from iddpm.files import replacing
from iddpm.progress import Progress, Work

FILE = "state.safetensors"


class Learner(ABC):
    """Something that is trained step by step. All that changes is in `state`."""

    @abstractmethod
    def learn(self, step: int) -> None:
        """Take a step; its randomness depends on `step` alone."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Return all modules by name; "average" is the one that is measured."""

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return all optimizers by name."""

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        flat = {
            f"{name}/{key}": tensor.detach().cpu().contiguous()
            for name, module in self.modules().items()
            for key, tensor in module.state_dict().items()
        }
        for name, optimizer in self.optimizers().items():
            for index, values in optimizer.state_dict()["state"].items():
                flat |= {f"{name}/{index}/{key}": tensor.detach().cpu() for key, tensor in values.items()}
        return flat

    def load_state(self, flat: Mapping[str, Tensor]) -> None:
        """Do the reverse of `state`."""
        for name, module in self.modules().items():
            module.load_state_dict(_part(flat, name))
        for name, optimizer in self.optimizers().items():
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _part(flat, name).items():
                index, _, field = key.partition("/")
                values.setdefault(int(index), {})[field] = tensor
            optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})


@dataclass(frozen=True)
class Rival(Subject):
    """A model that diffusion is compared with: with its data, its seed and as many FLOPs of training."""

    data: DataConfig
    steps: int
    batch_size: int
    seed: int
    version: ClassVar[int]
    """Version; raise it when the same settings come to make another model."""
    checkpoint_every: ClassVar[int]
    """Steps between states that are kept."""

    @abstractmethod
    def learner(self) -> Learner:
        """Return what is trained, before its training."""

    @abstractmethod
    def item_flops(self) -> int:
        """Return the cost of a step for an item of its batch."""

    def identity(self) -> JSON:
        return {**vars(self), "data": self.data.model_dump(mode="json"), "version": self.version}

    def make(self, folder: Path) -> Work[None]:
        return train(self.learner(), folder, self.steps, self.checkpoint_every)

    def is_made(self, folder: Path) -> bool:
        return steps_done(folder) >= self.steps

    def flops(self) -> int:
        return self.item_flops() * self.steps * self.batch_size


def train(learner: Learner, folder: Path, steps: int, every: int) -> Work[None]:
    """Take all steps that are not done. The state is kept every so many of them, at the end, and when interrupted."""
    done = steps_done(folder)
    if done:
        learner.load_state(read_tensors(folder / FILE)[0])
    for step in range(done + 1, steps + 1):
        learner.learn(step - 1)
        if step % every == 0 or step == steps:
            _save(learner, folder, step)
        try:
            yield Progress("training", step, steps)
        except GeneratorExit:  # whoever wanted the model has been told to stop
            _save(learner, folder, step)
            raise


def _save(learner: Learner, folder: Path, step: int) -> None:
    with replacing(folder / FILE) as beside:
        save_file(learner.state(), beside, {"step": str(step)})


def steps_done(folder: Path) -> int:
    """Return the step of the state in `folder`, 0 if there is none."""
    path = folder / FILE
    return int(read_tensors(path)[1]["step"]) if path.is_file() else 0


def module_state(folder: Path, name: str) -> dict[str, Tensor]:
    """Return a module's part of the state in `folder`."""
    return _part(read_tensors(folder / FILE)[0], name)


def _part(flat: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in flat.items() if key.startswith(f"{name}/")}


@torch.no_grad()
def average(into: nn.Module, module: nn.Module, step: int, rate: float) -> None:
    """Move `into`'s weights towards `module`'s; over fewer steps at first, so that no initial weight stays."""
    share = max(1 - rate, 1 / (step + 1))
    for ours, theirs in zip(into.parameters(), module.parameters(), strict=True):
        ours.lerp_(theirs, share)
    for kept, new in zip(into.buffers(), module.buffers(), strict=True):
        kept.copy_(new)


def count_flops(call: Callable[[], object]) -> int:
    """Return the cost of a call, backward passes in it included, as torch counts it."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
