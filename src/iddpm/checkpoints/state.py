"""All that training needs to go on, as the files of one checkpoint."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from iddpm.checkpoints.run import RunDirectory, step_of, weights_file
from iddpm.checkpoints.weights import Description, read_description, read_tensors, save_weights
from iddpm.config import TrainingConfig
from iddpm.errors import UserError
from iddpm.files import replacing

REST = "training.safetensors"
"""The file of a checkpoint with all but the weights."""


@dataclass(frozen=True)
class TrainingState:
    """All that training needs to go on as if it had never stopped, but for the configuration.

    Its randomness is a function of the seed and the step, and the position in the data one of the step, so neither
    needs a place of its own. Tensors are on the CPU.
    """

    step: int
    raw: Mapping[str, Tensor]
    averages: Mapping[float, Mapping[str, Tensor]]
    optimizer: Mapping[str, Tensor]
    timestep_sampler: Mapping[str, Tensor]
    window: Mapping[str, Tensor]


def save_state(run: RunDirectory, state: TrainingState, description: Description, training: TrainingConfig) -> Path:
    """Write a checkpoint, whole or not at all, and return it; then remove those beyond `training.keep_checkpoints`.

    description: of the model; its step and weights do not matter here.
    """
    folder = run.checkpoint(state.step)
    with replacing(folder) as building:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        for weights, tensors in [("raw", state.raw), *((f"ema {r}", t) for r, t in state.averages.items())]:
            own = dataclasses.replace(description, step=state.step, weights=weights)
            save_weights(building / weights_file(weights), tensors, own)
        groups = {"optimizer": state.optimizer, "timesteps": state.timestep_sampler, "window": state.window}
        flat = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
        save_file(flat, building / REST, {"step": str(state.step)})
    run.point_to(folder)
    _remove_old(run, folder, training)
    return folder


def _remove_old(run: RunDirectory, newest: Path, training: TrainingConfig) -> None:
    """Remove older checkpoints, those of a branch that was left, and what a kill cut short.

    Checkpoints of interruptions do not push out the regular ones.
    """
    before = [path for path in run.checkpoints() if path.name <= newest.name]
    regular = [path for path in before if step_of(path) % training.checkpoint_every == 0]
    kept = before[-training.keep_checkpoints :] + regular[-training.keep_checkpoints :]
    for path in [*run.checkpoints(), *run.checkpoint_folder.glob(".step-*.part")]:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def load_state(run: RunDirectory, ema_rates: Sequence[float]) -> TrainingState | None:
    """Return the newest checkpoint's state; None before the first. UserError, with the way out, for a damaged one."""
    folder = run.latest()
    if folder is None:
        return None
    try:
        raw, _ = read_tensors(folder / weights_file("raw"))
        step = read_description(folder / weights_file("raw")).step
        averages = {rate: read_tensors(folder / weights_file(f"ema {rate}"))[0] for rate in ema_rates}
        flat, _ = read_tensors(folder / REST)
    except UserError as error:
        raise UserError(error.what, way=run.way_back(folder)) from None
    groups: dict[str, dict[str, Tensor]] = {"optimizer": {}, "timesteps": {}, "window": {}}
    for name, tensor in flat.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    return TrainingState(step, raw, averages, groups["optimizer"], groups["timesteps"], groups["window"])
