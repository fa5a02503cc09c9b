"""A model's plan: the best few steps of its chain for likelihoods, worked out on held-out data and kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iddpm.checkpoints.run import RunDirectory
from iddpm.diffusion.jumps import Plan
from iddpm.diffusion.readings import ANALYTIC, ErrorTable
from iddpm.diffusion.reverse import Clip
from iddpm.errors import Setting, UserError
from iddpm.files import read_arrays, replacing
from iddpm.model import Model
from iddpm.names import MODEL, PREDICTIONS, VARIANCES
from iddpm.networks.hashing import hash_of
from iddpm.registry import Registry
from iddpm.versions import VERSIONS

WORDS = {
    "schedule": "another schedule",
    "parameterization": "another parameterization",
    "weights": "other weights",
    "clip": "other clipping",
}
"""The parts of a plan's subject, in words. Weights differ if the others do: what says most comes first."""


def subject_of(model: Model, *, clip: Clip) -> dict[str, Any]:
    """Return what a plan is made for, as JSON: it holds for these weights, on this chain, read in this way."""
    own = model.diffusion.parameterization
    return {
        "weights": hash_of(model.network),
        "schedule": hashlib.sha256(model.diffusion.schedule.betas.numpy().tobytes()).hexdigest()[:16],
        "parameterization": f"{name_of(PREDICTIONS, own.prediction)}, {name_of(VARIANCES, own.variance)}",
        "clip": clip,
    }


def name_of(registry: Registry[Any], member: object) -> str:
    """Return the name under which a member's class is registered, or the class's own."""
    return next((name for name in registry if registry[name] is type(member)), type(member).__name__)


@dataclass(frozen=True)
class StoredPlan:
    """The best chains of every length, with what they are for: what `iddpm.plan` returns, and `iddpm plan` keeps.

    `chain(25)` is a stride: `iddpm.score(model, data, steps=plan.chain(25))`. It has the lowest bound; samples are
    often better on evenly spaced steps. `tables["calibrated"]` is a reading, for sampling and scoring.

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

    @property
    def longest(self) -> int:
        """The length of the longest chain that was planned."""
        return len(self.plans[MODEL])

    def chain(self, count: int, variance: str = MODEL, *, from_noise: bool = False) -> tuple[int, ...]:
        """Return the timesteps of the best chain of `count` steps. UserError for a length that was not planned.

        variance: the name of the reading that the chain is for; those without a plan take the analytic variance's.
        from_noise: for sampling, the best of those that begin at the last step.
        """
        plan = self.plans.get(variance, self.plans[ANALYTIC])
        return tuple(self.timesteps[position] for position in plan.positions(count, from_noise=from_noise))

    def check(self, model: Model, path: Path, *, clip: Clip) -> None:
        """Raise UserError if the plan, which lies at `path`, was made for something else."""
        subject = subject_of(model, clip=clip)
        for name, other in WORDS.items():
            if str(self.subject.get(name)) != str(subject[name]):
                theirs, ours = (_in_words(part.get(name)) for part in (self.subject, subject))
                if name == "weights":
                    ours = f"{model.weights}, {ours}"
                what = f"{path} was made for {other} ({theirs}, asked for {ours})"
                raise UserError(what, field="plan", way=[_anew(path), *_setting(name, model, path, clip)])

    @property
    def arrays(self) -> dict[str, Any]:
        """All numbers by name."""
        numbers = {f"{name}.{key}": values for name, plan in self.plans.items() for key, values in vars(plan).items()}
        for name, table in self.tables.items():
            numbers |= {f"{name}.{key}": values for key, values in table.state().items()}
        timesteps = np.array(self.timesteps, dtype=np.int32)
        return {"timesteps": timesteps, **{name: values.numpy() for name, values in numbers.items()}}

    @property
    def hash(self) -> str:
        """A hash over all numbers, in 16 hexadecimal digits, by which plans are told apart."""
        return _hash(self.arrays)

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all."""
        manifest = {
            "format": VERSIONS["plan"],
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
        """Read a file that `save` wrote; UserError if it is missing, damaged or something else."""
        way = f"make one with iddpm plan {_model_of(path)}"
        if not path.exists():
            raise UserError(f"{path}: there is no plan", field="plan", way=way)
        try:
            arrays = read_arrays(path)
            manifest = json.loads(str(arrays.pop("manifest", "{}")))
        except ValueError:  # what numpy says of it would mislead
            manifest, arrays = {}, {}
        if manifest.get("format", VERSIONS["plan"]) != VERSIONS["plan"]:
            raise UserError(f"{path} is of another version of iddpm", field="plan", way=_anew(path))
        if manifest.get("hash") != _hash(arrays):
            raise UserError(f"{path}: it is damaged, or something else", field="plan", way=way)
        numbers = {name: torch.from_numpy(values) for name, values in arrays.items()}
        plans = {
            name: Plan(*(numbers[f"{name}.{key}"] for key in ("bounds", "last", "before")))
            for name in manifest["plans"]
        }
        tables = {
            name: ErrorTable(name, *(numbers[f"{name}.{key}"] for key in ("timesteps", "errors", "decoder")))
            for name in manifest["tables"]
        }
        strides = manifest.get("strides", {})
        return cls(manifest["subject"], manifest["about"], arrays["timesteps"].tolist(), plans, tables, strides)


def _hash(arrays: Mapping[str, Any]) -> str:
    content = hashlib.sha256()
    for name, values in arrays.items():
        content.update(name.encode() + values.tobytes())
    return content.hexdigest()[:16]


def _model_of(path: Path) -> str:
    """Return what to call the model of a plan: its run, or MODEL if the plan lies beside a file of weights."""
    return str(path.parent) if path == RunDirectory(path.parent).plan else "MODEL"


def _anew(path: Path) -> str:
    return f"plan anew: iddpm plan {_model_of(path)}"


def _setting(name: str, model: Model, path: Path, clip: Clip) -> list[str | Setting]:
    """Return the setting with which planning anew makes a plan that fits in the part `name` of its subject."""
    if name == "clip":
        return [" ", Setting("clip", clip)]
    if name == "weights" and path == RunDirectory(path.parent).plan:
        return [" ", Setting("weights", model.weights.removeprefix("ema "))]
    return []


def _in_words(part: object) -> object:
    """Return a part of a subject for a message: only clipping is no text."""
    if isinstance(part, bool) or part is None:
        return "to the data's range" if part else "none"
    return f"at the quantile {part:g}" if isinstance(part, float) else part
