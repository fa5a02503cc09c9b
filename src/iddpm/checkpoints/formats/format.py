"""The abstract checkpoint format: the names that another program gives to the weights of our networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from torch import Tensor


class CheckpointFormat(ABC):
    """Tensors by other names than ours, and perhaps in other shapes.

    To add one: write the methods below, and give it a row in `names.FORMATS`, or register it there from anywhere. Files
    are then loaded by their tensors' names, together with the configuration of the network (a preset).
    """

    @abstractmethod
    def recognises(self, names: Collection[str]) -> bool:
        """Return whether a file with tensors of these names is of this format."""

    @abstractmethod
    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a file's tensors as the state dict of our network. UserError for a tensor that it does not have."""

    @abstractmethod
    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state dict of our network as this format has it."""
