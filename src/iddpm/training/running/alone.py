"""One process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from iddpm.training.running.backend import Backend


class Alone(Backend):
    """The usual single process."""

    def prepare(self, network: nn.Module) -> nn.Module:
        return network

    def accumulate(self, is_last: bool) -> AbstractContextManager[object]:
        return nullcontext()

    def gather(self, rows: Tensor) -> Tensor:
        return rows

    def any(self, flag: bool) -> bool:
        return flag

    def wait(self) -> None:
        pass
