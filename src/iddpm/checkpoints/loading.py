"""Models from files, and into files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from iddpm.build import build_diffusion, build_network
from iddpm.checkpoints.formats import CheckpointFormat
from iddpm.checkpoints.run import RunDirectory, weights_file
from iddpm.checkpoints.weights import Description, read_description, read_pickle, read_tensors, save_weights
from iddpm.conditions import conditions_of
from iddpm.config import Config
from iddpm.diffusion import Diffusion
from iddpm.errors import Setting, UserError
from iddpm.model import Model
from iddpm.names import FORMATS


def load(
    path: Path | str, *, weights: str | None = None, config: Config | None = None, model: Model | None = None
) -> Model:
    """Return the model of a run, of one of its checkpoints, or of a file of weights. Most need nothing else.

    weights: "raw", or "ema" or a rate such as "0.9999"; by default the run's first average.
    config:  for files of a format in `names.FORMATS`, which do not describe themselves (the authors' releases).
    model:   your own, whose network or diffusion no configuration makes: it is given the weights, and returned.
    UserError for anything that is missing, damaged, of another version, or not tensors.
    """
    path = Path(path)
    if path.is_dir():
        if config is not None:
            raise UserError(f"{path} describes itself", field="config", way="leave it out")
        return _load_file(_chosen(_checkpoint(path), weights), None, model)
    if not path.is_file():
        raise UserError(f"{path}: there is no such run or file of weights")
    if weights is not None:
        raise UserError(f"{path} is one set of weights", field="weights", way="name the run's directory to choose")
    return _load_file(path, config, model)


def save(path: Path | str, model: Model, *, format: str = "native") -> None:
    """Write a model: into a file if `path` ends in .safetensors, and else into a run, as one of its weights.

    Both describe themselves, so that `load` and all commands take them; only `load(path, model=...)` reads a model that
    no configuration makes. format: other names for the tensors (see `names.FORMATS`), for a file without description.
    """
    path = Path(path)
    state = model.network.state_dict()
    if format != "native":
        theirs: CheckpointFormat = FORMATS[format]()
        save_weights(path, theirs.to_theirs(state))
    elif path.suffix == ".safetensors":
        save_weights(path, state, describe(model))
    else:
        run, checkpoint = RunDirectory(path), RunDirectory(path).checkpoint(model.step)
        run.begin(model.config, model.spec)
        save_weights(checkpoint / weights_file(model.weights), state, describe(model))
        run.point_to(checkpoint)


def describe(model: Model, config: Config | None = None) -> Description:
    """Return what files of a model say of it. config: what trains a model that no configuration made."""
    if model.is_own:
        return Description(config, model.spec, model.step, model.weights, is_own=True)
    made, own = build_diffusion(model.config, model.spec), model.diffusion
    if not torch.equal(made.schedule.betas, own.schedule.betas) or _reading(made) != _reading(own):
        what = "its diffusion is not the one that its configuration makes, and would be lost"
        raise UserError(what, field="model", way="leave the configuration out of Model(...)")
    return Description(model.config, model.spec, model.step, model.weights)


def _reading(diffusion: Diffusion) -> list[object]:
    """Return how a diffusion reads its network's output, so that equal lists mean the same."""
    return [type(diffusion.parameterization.prediction), type(diffusion.parameterization.variance), diffusion.decoder]


def _checkpoint(path: Path) -> Path:
    """Return the newest checkpoint of a run; a checkpoint as it is."""
    run = RunDirectory(path)
    if path.name.startswith("step-") and not run.exists:
        return path
    run.read_config()
    if latest := run.latest():
        return latest
    raise UserError(f"{path}: has no checkpoint yet", way=f"train it with: iddpm train {path}")


def _chosen(folder: Path, weights: str | None) -> Path:
    """Return the file of some weights of a checkpoint; the first average for None."""
    rates = [path.stem.removeprefix("ema-") for path in sorted(folder.glob("ema-*.safetensors"))]
    raw = folder / weights_file("raw")
    if weights == "raw" or (weights is None and not rates):
        return raw
    if weights in (None, "ema"):
        config = read_description(raw).config if raw.is_file() else None
        weights = rates[0] if config is None else str(config.training.ema_rates[0])
    if weights not in rates:
        what, way = f"{weights} is not in {folder}", f"use raw or one of {', '.join(rates)}"
        raise UserError(what, field="weights", way=way)
    return folder / weights_file(f"ema {weights}")


def _load_file(path: Path, config: Config | None, model: Model | None) -> Model:
    """Return the model in a file: ours, or of another format if there is a configuration."""
    if path.suffix == ".safetensors":
        state, header = read_tensors(path)
        description = None if config is not None or (model and not header) else Description.from_header(header, path)
    elif config is None and model is None:
        what = f"{path}: holds tensors alone"
        raise UserError(what, way=["say what it is with ", Setting("config")])
    else:
        state, description = read_pickle(path), None
    if model is not None:
        return _filled(model, state, description, path)
    if description is None:
        assert config is not None
        description, state = _released(config, path), _renamed(state, path)
    return _assembled(state, description, path)


def _released(config: Config, path: Path) -> Description:
    spec = config.data.expected_spec()
    if spec is None:
        fields = (Setting("data.size"), " and ", Setting("data.channels"))
        raise UserError([f"{path}: to load weights for it, the configuration must state ", *fields])
    return Description(config, spec, config.training.steps, "as released")


def _renamed(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by our names."""
    for name in FORMATS:
        theirs: CheckpointFormat = FORMATS[name]()
        if theirs.recognises(state.keys()):
            try:
                return theirs.to_ours(state)
            except UserError as error:
                raise UserError([f"{path}: ", *error.what], way=error.way) from None
    first = next(iter(state), "none at all")
    raise UserError(f"{path}: tensors such as {first} are in no known format ({', '.join(FORMATS)})")


def _assembled(state: Mapping[str, Tensor], description: Description, path: Path) -> Model:
    config = description.making(path)
    conditions = conditions_of(config, description.spec)
    with torch.device("meta"):
        network = build_network(config, description.spec, conditions)
    check_tensors(network, state, path)
    # Copies are aligned in memory: where a file's tensors lie would otherwise decide on last digits.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}
    network.load_state_dict(copies, assign=True)
    spec, diffusion = description.spec, build_diffusion(config, description.spec)
    step, weights = description.step, description.weights
    return Model(network, diffusion, spec, conditions, config=config, step=step, weights=weights)


def _filled(model: Model, state: Mapping[str, Tensor], description: Description | None, path: Path) -> Model:
    """Return somebody's own model, with weights from a file."""
    if description is not None:
        if description.spec != model.spec:
            raise UserError(f"{path}: was trained on data of another kind ({description.spec})", field="model")
        model.step, model.weights = description.step, description.weights
    check_tensors(model.network, state, path)
    model.network.load_state_dict(state)
    return model


def check_tensors(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError if the tensors are not those of the network."""
    expected, given = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (network.state_dict(), state)
    )
    for name in [*expected, *given]:
        if expected.get(name) != given.get(name):
            raise UserError(
                f"{path}: tensor {name} is {given.get(name, 'missing')}, and the network's is"
                f" {expected.get(name, 'unknown')}; the two do not belong together"
            )
