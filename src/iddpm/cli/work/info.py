"""Facts about a model, a configuration or a preset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from iddpm.build import build_network, build_schedule
from iddpm.checkpoints.run import RunDirectory
from iddpm.checkpoints.weights import read_description
from iddpm.cli.commands.info import InfoArguments
from iddpm.config import Config, DatasetSpec, load_config
from iddpm.diffusion import cosine_offset
from iddpm.errors import Setting, UserError
from iddpm.presets import preset
from iddpm.versions import VERSIONS


def describe(arguments: InfoArguments) -> int:
    """Print what a model, a configuration or a preset is; return the exit code."""
    if arguments.model is None:
        name = str(arguments.preset)
        config, spec, facts = preset(name), None, {"preset": name}
    else:
        config, spec, facts = _read(Path(arguments.model))
    spec = spec or config.data.expected_spec()
    if spec is not None:
        facts |= _sizes(config, spec)
    if arguments.json:
        print(json.dumps({**facts, "config": config.to_json()}))
        return 0
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<22} {f'{value:,}' if isinstance(value, int) else value}")
    for section, fields in config.model_dump(mode="json").items():
        for name, value in fields.items():
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{section}.{name:<{max(1, 36 - len(section))}} {text}")
    return 0


def _read(path: Path) -> tuple[Config, DatasetSpec | None, dict[str, Any]]:
    """Return what a file or a run says of itself."""
    if path.suffix == ".json":
        return load_config(path), None, {"configuration": str(path)}
    if path.is_dir() and (RunDirectory(path).exists or not path.name.startswith("step-")):
        run = RunDirectory(path)
        config, spec = run.read_config()
        latest = run.latest()
        step = int(latest.name.removeprefix("step-")) if latest else 0
        checkpoints = ", ".join(checkpoint.name for checkpoint in run.checkpoints()) or "none yet"
        return (
            config,
            spec,
            {"run": str(path), "step": step, "of_steps": config.training.steps, "checkpoints": checkpoints},
        )
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.exists():
        raise UserError(f"{path}: there is no such run, file of weights or configuration")
    if file.suffix != ".safetensors":
        raise UserError(f"{path}: does not describe itself", way=("name its preset with ", Setting("preset")))
    description = read_description(file)
    return (
        description.making(file),
        description.spec,
        {"model": str(path), "step": description.step, "weights": description.weights},
    )


def _sizes(config: Config, spec: DatasetSpec) -> dict[str, Any]:
    """Return facts about the network and the chain, without making their numbers."""
    with torch.device("meta"):
        network = build_network(config, spec)
    schedule = build_schedule(config, spec)
    facts: dict[str, Any] = {
        "format": VERSIONS["configuration"],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "data": f"{'x'.join(map(str, spec.shape))} in {spec.levels} levels, {len(spec.class_names)} classes",
        "grey_level_width": round(2 / (spec.levels - 1), 6),
        "sqrt_beta_0": round(float(schedule.betas[0].sqrt()), 6),
        "alpha_bar_T": float(f"{float(schedule.alpha_bar[-1]):.3g}"),
    }
    if config.diffusion.schedule == "cosine":
        offset = config.diffusion.cosine_offset
        rule = cosine_offset(spec.levels, config.diffusion.num_timesteps)
        facts["cosine_offset"] = round(rule if offset is None else offset, 6)
    return facts
