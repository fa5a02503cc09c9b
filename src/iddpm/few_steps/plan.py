"""A model's plan: the best few steps of its chain, worked out once on held-out data and kept in a file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset
from iddpm.diffusion import Diffusion, SeededNoise, diffuse
from iddpm.diffusion.jumps import JumpCosts, Plan
from iddpm.diffusion.planning import ERROR_TABLES, JumpStatistics
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.readings import ErrorTable
from iddpm.diffusion.respacing import kept_timesteps
from iddpm.diffusion.reverse import Clip
from iddpm.errors import UserError
from iddpm.files import NOT_SUCH_ARRAYS, replacing
from iddpm.model import Model
from iddpm.names import MODEL
from iddpm.networks.hashing import hash_of

FORMAT = 4
STRIDES = {"uniform": "", "ddim": "ddim", "quadratic": "quadratic"}
"""What planned chains are compared with: names of strides, and how the words for so many of their steps begin."""
WORDS = {
    "schedule": "another schedule",
    "parameterization": "another parameterization",
    "weights": "other weights",
    "clip": "other clipping",
}
"""What a plan is for, in words. Weights differ where the others do: what says most comes first."""


def subject_of(model: Model, *, clip: Clip) -> dict[str, Any]:
    """What a plan is made for, as JSON: it holds for these weights, on this chain, read in this way."""
    config = model.config.diffusion
    return {
        "weights": hash_of(model.network),
        "schedule": hashlib.sha256(model.diffusion.schedule.betas.numpy().tobytes()).hexdigest()[:16],
        "parameterization": f"{config.prediction}, {config.variance}",
        "clip": clip,
    }


def _told_clip(clip: Clip | None) -> str:
    if isinstance(clip, bool) or clip is None:
        return "to the data's range" if clip else "none"
    return f"at the quantile {clip:g}"


@dataclass(frozen=True)
class StoredPlan:
    """Plans with what they are for.

    subject: see `subject_of`. about: how they were made (JSON). timesteps: the original timesteps to choose from.
    plans: by the name of a variance ("model" is the network's own). tables: the variances that follow from errors.
    strides: the bounds of other strides with the model's variance, for 1, 2 ... steps; none in an earlier version's.
    """

    subject: dict[str, Any]
    about: dict[str, Any]
    timesteps: list[int]
    plans: dict[str, Plan]
    tables: dict[str, ErrorTable]
    strides: dict[str, list[float | None]]

    @classmethod
    def of(
        cls, statistics: JumpStatistics, subject: dict[str, Any], about: dict[str, Any], longest: int, *, whole: int
    ) -> Iterator[str | StoredPlan]:
        """All plans up to so long chains: yields the name of each variance when it is begun, and then them all.

        whole: the length of the model's chain, of which `statistics` may have been given some steps to choose from.
        """
        plans = {}
        for name in statistics.variances:
            yield name
            plans[name] = statistics.costs(name).plan(longest)
        tables = {name: statistics.error_table(name) for name in statistics.variances if name in ERROR_TABLES}
        timesteps = statistics.diffusion.schedule.timesteps.tolist()
        costs, counts = statistics.costs(), range(1, longest + 1)
        strides = {
            name: [_stride_bound(costs, timesteps, whole, f"{prefix}{count}") for count in counts]
            for name, prefix in STRIDES.items()
        }
        yield cls(subject, about, timesteps, plans, tables, strides)

    def chain(self, count: int, variance: str = MODEL, *, from_noise: bool) -> tuple[int, ...]:
        """The timesteps of the best chain of `count` steps. UserError for a length that was not planned.

        from_noise: for sampling, the best of those that begin at the last step.
        """
        plan = self.plans[variance if variance in self.plans else "analytic"]
        return tuple(self.timesteps[position] for position in plan.positions(count, from_noise=from_noise))

    def check(self, model: Model, path: Path, *, clip: Clip) -> None:
        """UserError where the plan was made for something else."""
        subject = subject_of(model, clip=clip)
        for name, word in WORDS.items():
            ours = subject[name]
            if self.subject.get(name) != ours:
                flag = ("--clip" if clip else "--no-clip") if isinstance(clip, bool) else f"--threshold {clip:g}"
                weights = f" --weights {model.weights.removeprefix('ema ')}" if path.name == "plan.npz" else ""
                same = {"weights": weights, "clip": f" {flag}"}.get(name, "")
                theirs, mine = self.subject.get(name), ours
                if name == "weights":
                    mine = f"{model.weights}, {ours}"
                if name == "clip":
                    theirs, mine = _told_clip(theirs), _told_clip(mine)
                raise UserError(
                    f"plan: {path} was made for {word} ({theirs}, asked for {mine}); plan anew:"
                    f" iddpm plan {place_of(path)}{same}"
                )

    @property
    def arrays(self) -> dict[str, Any]:
        """All numbers by name."""
        numbers = {f"{name}.{field}": each for name, plan in self.plans.items() for field, each in vars(plan).items()}
        numbers |= {f"{name}.{key}": each for name, table in self.tables.items() for key, each in table.state().items()}
        return {
            "timesteps": np.array(self.timesteps, dtype=np.int32),
            **{name: each.numpy() for name, each in numbers.items()},
        }

    @property
    def hash(self) -> str:
        """What tells plans apart, in 16 hexadecimal digits."""
        content = hashlib.sha256()
        for name, each in self.arrays.items():
            content.update(name.encode() + each.tobytes())
        return content.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """As an npz file, whole or not at all."""
        manifest = {
            "format": FORMAT,
            "hash": self.hash,
            "subject": self.subject,
            "about": self.about,
            "plans": list(self.plans),
            "tables": list(self.tables),
            "strides": self.strides,
        }
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, manifest=np.array(json.dumps(manifest)), **self.arrays)

    @classmethod
    def load(cls, path: Path) -> StoredPlan:
        """UserError for a file that is missing, damaged or something else."""
        try:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():  # numpy would read on, and take what it finds for an array's size
                    raise zipfile.BadZipFile(damaged)
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                manifest = json.loads(str(arrays["manifest"]))
                if manifest["format"] != FORMAT:
                    raise UserError(
                        f"plan: {path} is of another version of iddpm; plan anew: iddpm plan {place_of(path)}"
                    )

                def fields(name: str, *keys: str) -> dict[str, Tensor]:
                    return {key: torch.from_numpy(arrays[f"{name}.{key}"]) for key in keys}

                plans = {name: Plan(**fields(name, "bounds", "last", "before")) for name in manifest["plans"]}
                tables = {
                    name: ErrorTable.of_state(name, fields(name, "timesteps", "errors", "decoder"))
                    for name in manifest["tables"]
                }
                timesteps, strides = arrays["timesteps"].tolist(), manifest.get("strides", {})
                found = cls(manifest["subject"], manifest["about"], timesteps, plans, tables, strides)
                if found.hash != manifest["hash"]:
                    raise ValueError("other numbers than were saved")
                return found
        except UserError:
            raise
        except (*NOT_SUCH_ARRAYS, KeyError):  # what numpy says of it would mislead
            reason = "there is no plan" if not path.exists() else "it is damaged, or something else"
            raise UserError(f"plan: {path}: {reason}; make one with iddpm plan {place_of(path)}") from None


def place_of(path: Path) -> str:
    """The run of the plan at this path; MODEL where it lies beside weights, whose whole name it does not have."""
    return str(path.parent) if path.name == "plan.npz" else "MODEL"


def _stride_bound(costs: JumpCosts, candidates: list[int], whole: int, stride: str) -> float | None:
    """The bound of a stride of the whole chain, or of the candidates nearest to its steps.

    None where there is no such stride, or where two of its steps have one nearest candidate.
    """
    try:
        wanted = kept_timesteps(whole, stride)
    except UserError:
        return None
    known, steps = np.array(candidates), np.array(wanted)
    above = np.searchsorted(known, steps).clip(0, len(known) - 1)
    below = (above - 1).clip(0)
    nearest = np.where(steps - known[below] <= known[above] - steps, below, above)
    return costs.bound(nearest.tolist()) if len(np.unique(nearest)) == len(steps) else None


def jump_statistics(
    model: Model,
    dataset: Dataset,
    statistics: JumpStatistics,
    *,
    count: int,
    seed: int,
    clip: Clip,
    batch_size: int,
) -> Iterator[bool]:
    """Add the first `count` items of a dataset to `statistics`, whose chain is `model`'s or part of it.

    Yields after every evaluation of the network; True after the last one of a batch, when `statistics` may be kept: a
    later call goes on where they were. Item i has one noise, the same at every step, from a generator seeded with
    (seed, i): what a plan compares are chains, and noise that they share does not tell neighbouring steps apart.
    """
    diffusion = statistics.diffusion
    if not 0 < count <= len(dataset):
        raise UserError(f"--count: must be 1 ... {len(dataset)}, the items to plan on, got {count}")
    for start in range(statistics.count, count, batch_size):
        rows = np.arange(start, min(start + batch_size, count))
        x_0 = dataset.batch(rows).to(model.device)
        predict = model.predict(model.conditions_from(x_0, dataset, rows))
        noise = SeededNoise([mixed_seed(seed, int(row)) for row in rows], dataset.spec.shape, model.device)()
        for position in reversed(range(len(diffusion.schedule))):
            x_t = diffuse(diffusion.schedule.at_position(position, x_0), x_0, noise)
            with torch.no_grad():
                output = predict(x_t, diffusion.schedule.timestep(position, x_0.device))
            statistics.add(position, x_0, x_t, output, clip=clip)
            yield position == 0


def candidates(model: Model, most: int | None) -> Diffusion:
    """The steps to choose from: all of them, or `most` of a longer chain.

    They are closer at the data's end ("quadratic"), where the bound's terms change fastest: evenly spaced ones leave
    out just the steps that cost most to do without.
    """
    if most is None or most >= len(model.diffusion.schedule):
        return model.diffusion
    return model.diffusion.strided(f"quadratic{most}")
