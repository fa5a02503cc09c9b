"""A model's plan: the best few steps of its chain, worked out once on held-out data and kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iddpm.data import Dataset, scale
from iddpm.diffusion import Diffusion, SeededNoise, diffuse
from iddpm.diffusion.planning import JumpStatistics, Plan
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError
from iddpm.evaluation.features import hash_of
from iddpm.files import NOT_SUCH_ARRAYS, replacing
from iddpm.model import Model

FORMAT = 1


def subject_of(model: Model, *, clip: bool) -> dict[str, Any]:
    """What a plan is made for, as JSON: it holds for these weights, on this chain, read in this way."""
    config = model.config.diffusion
    return {
        "weights": hash_of(model.network),
        "schedule": hashlib.sha256(model.diffusion.schedule.betas.numpy().tobytes()).hexdigest()[:16],
        "parameterization": f"{config.prediction}, {config.variance}",
        "clip": clip,
    }


@dataclass(frozen=True)
class StoredPlan:
    """A plan with what it is for.

    subject: see `subject_of`. about: how it was made (JSON). timesteps: the original timesteps to choose from.
    """

    subject: dict[str, Any]
    about: dict[str, Any]
    timesteps: list[int]
    plan: Plan

    def chain(self, count: int) -> tuple[int, ...]:
        """The timesteps of the best chain of `count` steps. UserError for a length that was not planned."""
        return tuple(self.timesteps[position] for position in self.plan.positions(count))

    def check(self, model: Model, path: Path, *, clip: bool) -> None:
        """UserError where the plan was made for something else."""
        for name, ours in subject_of(model, clip=clip).items():
            if self.subject.get(name) != ours:
                raise UserError(
                    f"plan: {path} was made for other {name} ({self.subject.get(name)}, the model's are {ours}); plan"
                    " anew with iddpm plan"
                )

    def save(self, path: Path) -> None:
        """As an npz file, whole or not at all."""
        manifest = {"format": FORMAT, "subject": self.subject, "about": self.about}
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file,
                manifest=np.array(json.dumps(manifest)),
                timesteps=np.array(self.timesteps, dtype=np.int32),
                bounds=self.plan.bounds.numpy(),
                last=self.plan.last.numpy().astype(np.int32),
                before=self.plan.before.numpy(),
            )

    @classmethod
    def load(cls, path: Path) -> StoredPlan:
        """UserError for a file that is missing, damaged or something else."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                manifest = json.loads(str(arrays["manifest"]))
                if manifest["format"] != FORMAT:
                    raise UserError(f"plan: {path} is of another version of iddpm; plan anew with iddpm plan")
                plan = Plan(*(torch.from_numpy(arrays[name]) for name in ("bounds", "last", "before")))
                return cls(manifest["subject"], manifest["about"], arrays["timesteps"].tolist(), plan)
        except NOT_SUCH_ARRAYS as error:
            reason = "there is no plan" if not path.exists() else f"it is damaged, or something else ({error})"
            raise UserError(f"plan: {path}: {reason}; make one with iddpm plan") from None


def jump_statistics(
    model: Model,
    dataset: Dataset,
    statistics: JumpStatistics,
    *,
    count: int,
    seed: int,
    clip: bool,
    batch_size: int,
) -> Iterator[bool]:
    """Add the first `count` items of a dataset to `statistics`, whose chain is `model`'s or part of it.

    Yields after every evaluation of the network; True after the last one of a batch, when `statistics` may be kept: a
    later call goes on where they were. Item i's noise comes from a generator seeded with (seed, i).
    """
    diffusion = statistics.diffusion
    if not 0 < count <= len(dataset):
        raise UserError(f"--count: there are {len(dataset)} items to plan on, asked for {count}")
    for start in range(statistics.count, count, batch_size):
        rows = np.arange(start, min(start + batch_size, count))
        x_0 = scale(dataset.items(rows), dataset.spec.levels).to(model.device)
        predict = model.predict(**model.conditions_of(x_0, model.labels_of(dataset, rows)))
        noise = SeededNoise([mixed_seed(seed, int(row)) for row in rows], dataset.spec.shape, model.device)
        for position in reversed(range(len(diffusion.schedule))):
            x_t = diffuse(diffusion.schedule.at_position(position, x_0), x_0, noise())
            with torch.no_grad():
                output = predict(x_t, diffusion.schedule.timestep(position, x_0.device))
            statistics.add(position, x_0, x_t, output, clip=clip)
            yield position == 0


def candidates(model: Model, most: int | None) -> Diffusion:
    """The steps to choose from: all of them, or `most` of a longer chain, evenly spaced."""
    if most is None or most >= len(model.diffusion.schedule):
        return model.diffusion
    return model.diffusion.strided(most)
