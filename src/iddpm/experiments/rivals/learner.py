"""Training of models that diffusion is compared with: a loop that can be interrupted, and goes on where it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iddpm.checkpoints.weights import read_tensors
from iddpm.files import replacing
from iddpm.progress import Progress

FILE = "state.safetensors"


class Learner(ABC):
    """Something that is trained step by step. All that changes is in `state`."""

    @abstractmethod
    def learn(self, step: int) -> None:
        """One step; its randomness depends on `step` alone."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]: ...

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...

    def state(self) -> dict[str, Tensor]:
        """All of it, by name."""
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
        """The reverse of `state`."""
        for name, module in self.modules().items():
            mine = {key.removeprefix(f"{name}/"): tensor for key, tensor in flat.items() if key.startswith(f"{name}/")}
            module.load_state_dict(mine)
        for name, optimizer in self.optimizers().items():
            known = optimizer.state_dict()
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in flat.items():
                if key.startswith(f"{name}/"):
                    index, _, field = key.removeprefix(f"{name}/").partition("/")
                    values.setdefault(int(index), {})[field] = tensor
            optimizer.load_state_dict({"state": values, "param_groups": known["param_groups"]})


def train(learner: Learner, folder: Path, steps: int, every: int) -> Generator[Progress, None, None]:
    """All steps that are not done; the state is kept in `folder` every so many of them, at the end, and when closed."""
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
    """Of those whose state is in `folder`."""
    path = folder / FILE
    return int(read_tensors(path)[1]["step"]) if path.is_file() else 0


def module_state(folder: Path, name: str) -> dict[str, Tensor]:
    """A module's part of the state."""
    flat, _ = read_tensors(folder / FILE)
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in flat.items() if key.startswith(f"{name}/")}


@torch.no_grad()
def average(into: nn.Module, module: nn.Module, step: int, rate: float) -> None:
    """Move `into`'s weights towards `module`'s; over fewer steps at first, so that no initial weight stays."""
    share = max(1 - rate, 1 / (step + 1))
    for ours, theirs in zip(into.parameters(), module.parameters(), strict=True):
        ours.lerp_(theirs, share)
    for kept, new in zip(into.buffers(), module.buffers(), strict=True):
        kept.copy_(new)


def flops(call: Callable[[], object]) -> int:
    """Of a call, backward passes in it included, counted by torch."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
