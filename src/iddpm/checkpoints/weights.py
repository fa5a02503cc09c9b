"""A model in one file that describes itself: safetensors, with the configuration in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iddpm.build import build_diffusion, build_network
from iddpm.checkpoints import openai
from iddpm.conditions import conditions_of
from iddpm.config import FORMAT_VERSION, READABLE, Config, DatasetSpec, first_mistake
from iddpm.errors import UserError
from iddpm.files import replacing
from iddpm.model import Model

ANOTHER = "take another checkpoint"
HEADER = "iddpm"
"""The key of the description in a safetensors header."""


@dataclass(frozen=True)
class Description:
    """What a file of weights says of itself."""

    config: Config
    spec: DatasetSpec
    step: int
    weights: str

    def to_header(self) -> dict[str, str]:
        """As the metadata of a safetensors file."""
        values = {
            "format": FORMAT_VERSION,
            "config": self.config.to_json(),
            "data": self.spec.model_dump(mode="json"),
            "step": self.step,
            "weights": self.weights,
        }
        return {HEADER: json.dumps(values)}

    @classmethod
    def from_header(cls, header: Mapping[str, str], path: Path) -> Description:
        """The reverse; UserError for a file that is not ours or of another version."""
        if HEADER not in header:
            raise UserError(f"{path}: does not describe itself as an iddpm model; name its preset with --preset")
        try:
            values = json.loads(header[HEADER])
            if values["format"] not in READABLE:
                raise UserError(
                    f"{path}: has format version {values['format']}, and this iddpm reads versions up to"
                    f" {FORMAT_VERSION}; use the iddpm that wrote it"
                )
            spec = DatasetSpec.model_validate(values["data"])
            return cls(Config.from_json(values["config"], str(path)), spec, values["step"], values["weights"])
        except ValidationError as error:
            raise UserError(f"{path}: {first_mistake(error)}") from None
        except (KeyError, TypeError, json.JSONDecodeError):
            raise UserError(f"{path}: its description is damaged; {ANOTHER}") from None


def save_weights(path: Path, state: Mapping[str, Tensor], description: Description) -> None:
    """Write a model's tensors with its description, whole or not at all."""
    with replacing(path) as beside:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, beside, description.to_header())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the header of a safetensors file; UserError for one that is missing, truncated or another."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: is no safetensors file, or is cut short or damaged ({error}); {ANOTHER}") from None


def read_description(path: Path) -> Description:
    """What a file of weights says of itself, without reading its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: is missing, cut short or damaged ({error})") from None
    return Description.from_header(header, path)


def load_file(path: Path, config: Config | None = None) -> Model:
    """A model from one file: ours, or with `config` the authors' (.pt of tensors, or safetensors by their names)."""
    if path.suffix == ".safetensors":
        state, header = read_tensors(path)
        if config is None:
            description = Description.from_header(header, path)
            return _assembled(state, description, path)
    else:
        state = _read_pickle(path)
        if config is None:
            raise UserError(f"{path}: holds tensors alone; name the configuration that they fit with --preset")
    spec = config.data.expected_spec()
    if spec is None:
        raise UserError(f"{path}: the configuration must state data.size and data.channels to load weights for it")
    if openai.is_theirs(state):
        state = openai.to_ours(state)
    return _assembled(state, Description(config, spec, config.training.steps, "as released"), path)


def _assembled(state: Mapping[str, Tensor], description: Description, path: Path) -> Model:
    conditions = conditions_of(description.config, description.spec)
    with torch.device("meta"):
        network = build_network(description.config, description.spec, conditions)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in [*expected, *given]:
        if expected.get(name) != given.get(name):
            raise UserError(
                f"{path}: tensor {name} is {given.get(name, 'missing')}, its configuration makes it"
                f" {expected.get(name, 'unknown')}; the two do not belong together"
            )
    # Copies are aligned in memory: where a file's tensors lie would otherwise decide on last digits.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}
    network.load_state_dict(copies, assign=True)
    return Model(
        network,
        build_diffusion(description.config, description.spec),
        description.spec,
        conditions,
        config=description.config,
        step=description.step,
        weights=description.weights,
    )


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """A state dict from torch.save, read without running anything that the file says."""
    import pickle
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols, of files that are refused below
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Exception as error:  # bytes from anywhere: unpicklers fail in many ways
        is_pickle = isinstance(error, pickle.UnpicklingError)
        reason = "a pickle of other things can run code" if is_pickle else "it is cut short, damaged or another thing"
        raise UserError(
            f"{path}: is no checkpoint of plain tensors and is not loaded ({reason}); give a run, or a file of weights"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UserError(f"{path}: holds more than named tensors and is not loaded; save the state dict alone")
    return state
