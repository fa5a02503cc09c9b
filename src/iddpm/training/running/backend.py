"""The abstract backend: a way of training one model in one or several processes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from iddpm.errors import UserError
from iddpm.names import BACKENDS


class Backend(ABC):
    """The processes that share each batch: who has which rows, how gradients are shared, and who writes files.

    To add one: write the abstract methods, and the others where one process's answer is not right; give it a row in
    `names.BACKENDS`. All processes call all methods in the same order, so that a method may wait for the others.
    A backend that keeps parts of the weights in each process needs `clip`, `whole` and `part` as well.

    rank, count: of this process among all. device: where this process computes.
    """

    def __init__(self, device: torch.device, rank: int = 0, count: int = 1) -> None:
        self.device = device
        self.rank = rank
        self.count = count

    @property
    def is_first(self) -> bool:
        """Return whether this process writes the files."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> slice:
        """Return the rows of a batch that are this process's; UserError if they cannot be shared evenly."""
        if batch_size % self.count:
            what = f"cannot be shared by {self.count} processes evenly"
            raise UserError(what, field="training.batch_size", value=batch_size)
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    @abstractmethod
    def prepare(self, network: nn.Module) -> nn.Module:
        """Return what is called in training instead of the network; called once, before the optimizer is made.

        The optimizer and the averages go by `network`'s own parameters and names.
        """

    @abstractmethod
    def accumulate(self, is_last: bool) -> AbstractContextManager[object]:
        """Return the context of one micro-batch's passes; gradients need to be shared with the last one only."""

    def clip(self, parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
        """Scale gradients down to a norm of at most `limit`, and return the norm before that."""
        return nn.utils.clip_grad_norm_(parameters, limit)

    @abstractmethod
    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of the batch."""

    @abstractmethod
    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true in any process: all of them must agree on when to stop."""

    @abstractmethod
    def wait(self) -> None:
        """Return when every process is here."""

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the network, the averages or the optimizer, whole and on the CPU, in the first process.

        What others return is not looked at.
        """
        return tensor.detach().cpu() if self.is_first else tensor

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        """Return this process's part of what `whole` gave, on the device and in the memory layout of `like`.

        Fused kernels walk a parameter and what belongs to it in the order of memory.
        """
        return torch.empty_like(like).copy_(whole)


def from_environment(device: torch.device | str) -> Backend:
    """Return the backend for the processes that torchrun started, having joined them; `Alone` without torchrun."""
    name = "alone" if int(os.environ.get("WORLD_SIZE", "1")) == 1 else "ddp"
    backend: Backend = BACKENDS[name](torch.device(device))
    return backend
