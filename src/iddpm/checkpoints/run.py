"""The run directory: everything that belongs to one training run, in files that are whole or not there. No torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iddpm.config import Config, DatasetSpec, mistake
from iddpm.errors import Setting, UserError
from iddpm.files import locked, replacing, write_json

CHANGEABLE = {
    "steps",
    "log_every",
    "validate_every",
    "validate_count",
    "validate_steps",
    "sample_every",
    "sample_count",
    "sample_steps",
    "checkpoint_every",
    "keep_checkpoints",
    "microbatch_size",
    "learning_rate",
    "warmup_steps",
    "gradient_clip",
    "precision",
    "compile",
}
"""Fields of `training` that may differ when a run goes on: none changes what the steps so far have done."""
ELSEWHERE = ("name another directory with ", Setting("run"))
"""A way out of what the run does not allow."""


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint's name gives."""
    return int(checkpoint.name.removeprefix("step-"))


def weights_file(weights: str) -> str:
    """Return the name of the file of "raw" or "ema 0.9999" weights in a checkpoint."""
    return "model.safetensors" if weights == "raw" else f"{weights.replace(' ', '-')}.safetensors"


def plan_path(model: Path | str) -> Path:
    """Return where the plan of a model is kept: in its run, or beside its file of weights."""
    path = Path(model)
    return RunDirectory(path).plan if path.is_dir() else path.with_name(f"{path.stem}-plan.npz")


def unfinished(path: Path, suffix: str = "") -> Path:
    """Return where what is done of a file is kept until it is whole."""
    return path.with_name(f"{path.stem}-unfinished{suffix}")


def lock_path(path: Path) -> Path:
    """Return the lock of whoever makes a file."""
    return path.with_name(f"{path.stem}-lock")


class RunDirectory:
    """`runs/<name>`, with the places of all its files. Those of a plan and of a study of steps may be missing."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        """The configuration, and what the data was."""
        self.metrics = self.path / "metrics.jsonl"
        """One JSON record a line."""
        self.samples = self.path / "samples"
        """Pictures made during training."""
        self.checkpoint_folder = self.path / "checkpoints"
        """`step-00001000` and so on, and `latest`, which names one."""
        self.training_lock = self.path / "lock"
        """Held by the process that trains."""
        self.plan = self.path / "plan.npz"
        """The best few steps, with `plan-unfinished.safetensors` and `plan-lock` while it is made."""
        self.study = self.path / "steps.json"
        """Quality against the number of steps, with `steps-unfinished` and `steps-lock` while it is judged."""
        self.study_picture = self.path / "steps.png"
        self.report = self.path / "report.html"
        """The page."""
        self.report_folder = self.path / "report"
        """The measurements of the page."""
        self.claim = self.path / "claim"
        """Held by the process that works on this run for an experiment."""

    @property
    def exists(self) -> bool:
        """Tell whether a run was begun here."""
        return self.config_file.is_file()

    def begin(self, config: Config, spec: DatasetSpec, fingerprint: str = "") -> None:
        """Write config.json. The fingerprint is the data's, to notice if it changes."""
        dataset = {**spec.model_dump(mode="json"), "fingerprint": fingerprint}
        write_json(self.config_file, {**config.to_json(), "dataset": dataset})

    def check_data(self, spec: DatasetSpec, fingerprint: str) -> None:
        """Raise UserError if the data is not what the run was begun with."""
        first = json.loads(self.config_file.read_text())["dataset"].get("fingerprint", "")
        if self.read_config()[1] != spec or first != fingerprint:
            what = f"is no longer what the run in {self.path} was begun with"
            raise UserError(what, field="data.source", way=["bring the data back, or ", *ELSEWHERE])

    def read_config(self) -> tuple[Config, DatasetSpec]:
        """Return the run's configuration and dataset; UserError if there is no run, or one of another version."""
        if not self.exists:
            way = ("train one there with ", Setting("run", self.path))
            raise UserError(f"{self.path}: holds no run (no config.json)", way=way)
        try:
            values = json.loads(self.config_file.read_text())
            dataset = values.pop("dataset")
            dataset.pop("fingerprint", None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{self.config_file}: cannot be read as a run's configuration ({error})"
            raise UserError(what, way="mend it, or name another run") from None
        try:
            spec = DatasetSpec.model_validate(dataset)
        except ValidationError as error:
            raise UserError(f"{self.config_file}: {mistake(error, ['dataset'])}") from None
        return Config.from_json(values, str(self.config_file)), spec

    def lock(self) -> Callable[[], None]:
        """Keep other processes from training here until the function that this returns is called, or the process ends.

        UserError if another one is training.
        """
        what = f"{self.path}: another process is training this run"
        return locked(self.training_lock, what, way=["wait for it, or ", *ELSEWHERE])

    def checkpoint(self, step: int) -> Path:
        """Return the checkpoint of a step, which may not be there."""
        return self.checkpoint_folder / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Return all checkpoints, the newest last."""
        return sorted(self.checkpoint_folder.glob("step-*"))

    def latest(self) -> Path | None:
        """Return the checkpoint that `latest` names; None before the first."""
        pointer = self.checkpoint_folder / "latest"
        if not pointer.is_file():
            return None
        checkpoint = pointer.parent / pointer.read_text().strip()
        if not checkpoint.is_dir():
            raise UserError(f"{pointer}: names {checkpoint.name}, which is not there", way=self.way_back(checkpoint))
        return checkpoint

    def point_to(self, checkpoint: Path) -> None:
        """Make a checkpoint the one that `latest` names."""
        with replacing(self.checkpoint_folder / "latest") as beside:
            beside.write_text(checkpoint.name + "\n")

    def way_back(self, damaged: Path) -> list[str | Setting]:
        """Return the way out if this checkpoint cannot be used: to another one, or to another run."""
        others = [path.name for path in self.checkpoints() if path != damaged]
        if others:
            return [f"write {others[-1]} into {self.checkpoint_folder / 'latest'} to go on from there"]
        return [f"remove {self.path} and train anew, or ", *ELSEWHERE]

    def check_same(self, config: Config) -> list[str]:
        """Return the differences between `config` and the run's, in words; UserError if steps so far depend on one."""
        own, _ = self.read_config()
        latest = self.latest()
        if latest is None:
            return []  # nothing depends on it yet
        changes = []
        for field, before, now in _differences(own, config):
            section, _, name = field.partition(".")
            if field == "training.steps" and now < step_of(latest):
                raise UserError(f"the run in {self.path} is at step {step_of(latest)}, past {now}", field=field)
            if field == "training.steps" and own.training.decay:
                what = f"the learning rate of the run in {self.path} falls to zero at step {before}"
                raise UserError(f"{what} (training.decay), so it cannot end at {now}", field=field, way=ELSEWHERE)
            if section != "training" or name not in CHANGEABLE:
                what = f"the run in {self.path} has {before!r}, asked for {now!r}"
                raise UserError(what, field=field, way=["leave it out to go on, or ", *ELSEWHERE])
            changes.append(f"{field} is {now} from here on, was {before}")
        return changes


def _differences(old: Config, new: Config) -> Iterator[tuple[str, Any, Any]]:
    before, now = old.model_dump(), new.model_dump()
    for section, fields in before.items():
        for name, value in fields.items():
            if value != now[section][name]:
                yield f"{section}.{name}", value, now[section][name]
