"""A checkpoint format: the weights of a network that was trained as the module `network` of a larger program."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from iddpm.checkpoints.formats.format import CheckpointFormat
from iddpm.names import FORMATS

PREFIX = "network."


class Prefixed(CheckpointFormat):
    """Our names after "network.", among tensors of other modules."""

    def recognises(self, names: Collection[str]) -> bool:
        return f"{PREFIX}conv_out.weight" in names

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{PREFIX}{name}": tensor for name, tensor in state.items()}


FORMATS.register("prefixed", Prefixed, "weights of a module of a larger program")
