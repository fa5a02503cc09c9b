"""A file of tensors: ours, which describes its model in a safetensors header, or another program's."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iddpm.config import Config, DatasetSpec, check_version, mistake
from iddpm.errors import Setting, UserError
from iddpm.files import replacing
from iddpm.versions import VERSIONS

ANOTHER = "take another checkpoint"
HEADER = "iddpm"
"""The key of the description in a safetensors header."""


@dataclass(frozen=True)
class Description:
    """The description that a file of weights has of itself.

    config: None if no configuration makes the model. is_own: the configuration trained the model, but does not make its
    network or diffusion: they are somebody's own, and must be there already to load the weights.
    """

    config: Config | None
    spec: DatasetSpec
    step: int
    weights: str
    is_own: bool = False

    def making(self, path: Path) -> Config:
        """Return the configuration that makes the model in the file `path`; UserError for somebody's own model."""
        if self.config is None or self.is_own:
            what = f"{path}: holds the weights of a model of one's own"
            raise UserError(what, way="make it in Python, and give it: iddpm.load(path, model=...)")
        return self.config

    def to_header(self) -> dict[str, str]:
        """Return the description as the metadata of a safetensors file."""
        values = {
            "format": VERSIONS["configuration"],
            "config": None if self.config is None else self.config.to_json(),
            "data": self.spec.model_dump(mode="json"),
            "step": self.step,
            "weights": self.weights,
        }
        return {HEADER: json.dumps({**values, "own": True} if self.is_own else values)}

    @classmethod
    def from_header(cls, header: Mapping[str, str], path: Path) -> Description:
        """Return the description in a file's metadata; UserError if it has none, or one of another version."""
        if HEADER not in header:
            what = f"{path}: does not describe itself as an iddpm model"
            raise UserError(what, way=["say what it is with ", Setting("config")])
        try:
            values = json.loads(header[HEADER])
            version, config, step, weights = (values[name] for name in ("format", "config", "step", "weights"))
            spec = DatasetSpec.model_validate(values["data"])
        except ValidationError as error:
            raise UserError(f"{path}: {mistake(error)}") from None
        except (KeyError, TypeError, json.JSONDecodeError):
            raise UserError(f"{path}: its description is damaged", way=ANOTHER) from None
        check_version(version, str(path))
        own = bool(values.get("own", False))
        return cls(None if config is None else Config.from_json(config, str(path)), spec, step, weights, own)


def save_weights(path: Path, state: Mapping[str, Tensor], description: Description | None = None) -> None:
    """Write tensors, with the description of their model, whole or not at all."""
    header = None if description is None else description.to_header()
    with replacing(path) as beside:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, beside, header)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return all tensors and the header of a safetensors file; UserError if it is missing, truncated or another."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        what = f"{path}: is no safetensors file, or is cut short or damaged ({error})"
        raise UserError(what, way=ANOTHER) from None


def read_description(path: Path) -> Description:
    """Return what a file of weights says of itself, without reading its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: is missing, cut short or damaged ({error})", way=ANOTHER) from None
    return Description.from_header(header, path)


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return a state dict from torch.save, read without running anything that the file says."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols, of files that are refused below
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Exception as error:  # bytes from anywhere: unpicklers fail in many ways
        is_pickle = isinstance(error, pickle.UnpicklingError)
        reason = "a pickle of other things can run code" if is_pickle else "it is cut short, damaged or another thing"
        what = f"{path}: is no checkpoint of plain tensors and is not loaded ({reason})"
        raise UserError(what, way="give a run, or a file of weights") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        what = f"{path}: holds more than named tensors and is not loaded"
        raise UserError(what, way="save the state dict alone")
    return state
