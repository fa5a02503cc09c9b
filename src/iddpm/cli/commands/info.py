"""`iddpm info MODEL|CONFIG` or `--preset NAME`: what it is, without running it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from iddpm.cli.arguments import parsed
from iddpm.config import FORMAT_VERSION, Config, DatasetSpec, load_config
from iddpm.errors import Setting, UserError
from iddpm.presets import PRESETS, preset


@dataclass(frozen=True)
class InfoArguments:
    """What to describe."""

    model: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="MODEL")]] = None
    """A run, one of its checkpoints, a file of weights, or a configuration file."""
    preset: str | None = None
    """A preset instead."""
    json: bool = False
    """Print one JSON object; its "config" is a configuration that iddpm train reads."""


def run(words: Sequence[str]) -> int:
    """Describe; return the exit code."""
    with parsed(
        InfoArguments, words, command="info", description="Describe a model, configuration or preset."
    ) as arguments:
        return _run(arguments)


def _run(arguments: InfoArguments) -> int:
    if (arguments.model is None) == (arguments.preset is None):
        what = ("info: name a model, or a preset with ", Setting("preset"))
        raise UserError(what, way=f"presets are {', '.join(PRESETS)}")
    facts: dict[str, Any] = {}
    if arguments.preset is not None:
        config, spec = preset(arguments.preset), None
        facts["preset"] = arguments.preset
    else:
        assert arguments.model is not None
        config, spec, facts = _described(Path(arguments.model))
    spec = spec or config.data.expected_spec()
    if spec is not None:
        facts |= _sizes(config, spec)
    if arguments.json:
        print(json.dumps({**facts, "config": config.to_json()}))
        return 0
    for name, value in facts.items():
        print(
            f"{name.replace('_', ' '):<22} {value:,}"
            if isinstance(value, int)
            else f"{name.replace('_', ' '):<22} {value}"
        )
    for section, fields in config.model_dump(mode="json").items():
        for name, value in fields.items():
            print(f"{section}.{name:<{max(1, 36 - len(section))}} {_plain(value)}")
    return 0


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _described(path: Path) -> tuple[Config, DatasetSpec | None, dict[str, Any]]:
    if path.suffix == ".json":
        return load_config(path), None, {"configuration": str(path)}

    from iddpm.checkpoints.run import RunDirectory
    from iddpm.checkpoints.weights import read_description

    if path.is_dir() and (RunDirectory(path).exists or not path.name.startswith("step-")):
        run = RunDirectory(path)
        config, spec = run.read_config()
        latest = run.latest()
        step = int(latest.name.removeprefix("step-")) if latest else 0
        checkpoints = ", ".join(checkpoint.name for checkpoint in run.checkpoints()) or "none yet"
        facts = {"run": str(path), "step": step, "of_steps": config.training.steps, "checkpoints": checkpoints}
        return config, spec, facts
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.exists():
        raise UserError(f"{path}: there is no such run, file of weights or configuration")
    if file.suffix != ".safetensors":
        raise UserError(f"{path}: does not describe itself", way=["name its preset with ", Setting("preset")])
    description = read_description(file)
    return (
        description.config,
        description.spec,
        {"model": str(path), "step": description.step, "weights": description.weights},
    )


def _sizes(config: Config, spec: DatasetSpec) -> dict[str, Any]:
    import torch

    from iddpm.build import build_network, build_schedule
    from iddpm.diffusion import cosine_offset

    with torch.device("meta"):
        network = build_network(config, spec)
    schedule = build_schedule(config, spec)
    facts: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "data": f"{'x'.join(map(str, spec.shape))} in {spec.levels} levels, {len(spec.class_names)} classes",
        "grey_level_width": round(2 / (spec.levels - 1), 6),
        "sqrt_beta_0": round(float(schedule.betas[0].sqrt()), 6),
        "alpha_bar_T": float(f"{float(schedule.alpha_bar[-1]):.3g}"),
    }
    if config.diffusion.schedule == "cosine":
        given = config.diffusion.cosine_offset
        facts["cosine_offset"] = round(
            cosine_offset(spec.levels, config.diffusion.num_timesteps) if given is None else given, 6
        )
    return facts
