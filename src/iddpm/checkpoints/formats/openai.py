"""The authors' released checkpoints (openai/improved-diffusion)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from iddpm.checkpoints.formats.format import CheckpointFormat
from iddpm.errors import UserError

# (theirs, ours): what a name starts with, with numbers for {}. What follows is a layer of the list below, or nothing.
_PLACES = [
    ("time_embed.{}.", "time_embedding.layers.{}."),
    ("label_emb.", "class_embedding."),
    ("input_blocks.{}.{}.", "encoder.{}.layers.{}."),
    ("middle_block.{}.", "middle.layers.{}."),
    ("output_blocks.{}.{}.", "decoder.{}.layers.{}."),
    ("out.0.", "norm_out."),
    ("out.2.", "conv_out."),
]
_LAYERS = [
    ("in_layers.0.", "norm_in."),
    ("in_layers.2.", "conv_in."),
    ("emb_layers.1.", "embedding."),
    ("out_layers.0.", "norm_out."),
    ("out_layers.3.", "conv_out."),
    ("skip_connection.", "skip."),
    ("norm.", "norm."),
    ("qkv.", "qkv."),
    ("proj_out.", "project."),
    ("op.", "resample."),  # on the way down
    ("conv.", "resample."),  # on the way up
]
_ATTENTION_WEIGHTS = ("qkv.weight", "project.weight")


class OpenAI(CheckpointFormat):
    """The names of the authors' release. Their attention's 1x1 convolutions `[out, in, 1]` are our linear layers."""

    def recognises(self, names: Collection[str]) -> bool:
        return "time_embed.0.weight" in names

    def to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        converted = {our_name(name): tensor for name, tensor in state.items()}
        return {
            name: tensor.squeeze(-1) if name.endswith(_ATTENTION_WEIGHTS) and tensor.ndim == 3 else tensor
            for name, tensor in converted.items()
        }

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            their_name(name): tensor.unsqueeze(-1) if name.endswith(_ATTENTION_WEIGHTS) else tensor
            for name, tensor in state.items()
        }


def our_name(theirs: str) -> str:
    """Return our name of one of their tensors; UserError for a name that their network does not have."""
    for their_place, our_place in _PLACES:
        place = _match(their_place, theirs)
        if place:
            rest = theirs[place.end() :]
            layers = (ours + rest[len(name) :] for name, ours in _LAYERS if rest.startswith(name))
            return our_place.format(*place.groups()) + next(layers, rest)
    raise UserError(f'tensor "{theirs}" is not one of an improved-diffusion network')


def their_name(ours: str) -> str:
    """Return their name of one of our tensors; UserError for a name that their network has no counterpart of."""
    for their_place, our_place in _PLACES:
        place = _match(our_place, ours)
        if place:
            rest = ours[place.end() :]
            layers = [theirs + rest[len(name) :] for theirs, name in _LAYERS if rest.startswith(name)]
            upwards = their_place.startswith("output_blocks")
            layer = layers[-1 if upwards else 0] if layers else rest
            return their_place.format(*place.groups()) + layer
    raise UserError(f'tensor "{ours}" is not one of an improved-diffusion network')


def _match(template: str, name: str) -> re.Match[str] | None:
    return re.match(re.escape(template).replace(r"\{\}", r"(\d+)"), name)
