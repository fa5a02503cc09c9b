"""Our own names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from iddpm.checkpoints.formats.format import CheckpointFormat


class Native(CheckpointFormat):
    """The names of `networks.UNet`."""

    def recognises(self, names: Collection[str]) -> bool:
        return "time_embedding.layers.0.weight" in names

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(state)

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(state)
