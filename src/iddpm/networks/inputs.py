"""The abstract input of a network: how it takes in what it is told beside x_t and t."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from torch import Tensor, nn


class NetworkInput(ABC):
    """A condition as a network sees it: a vector that joins the timestep's embedding, or channels beside x_t, or both.

    name: of the condition. module: the name of its embedding in the network, and so of its tensors in a checkpoint.
    channels: how many channels it puts beside x_t.
    """

    name: ClassVar[str]
    module: ClassVar[str] = ""
    channels: int = 0

    def embedding(self, size: int) -> nn.Module | None:
        """Return a new module from a value of the condition to `[batch, size]`; None if it adds nothing there."""
        return None

    def beside(self, value: Tensor, x_t: Tensor) -> Tensor:
        """Return `[batch, channels, *size]` to put beside x_t: nothing, unless `channels` is above 0."""
        return x_t[:, :0]
