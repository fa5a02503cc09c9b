"""The run directory: everything that belongs to one training run, in files that are whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from iddpm.checkpoints.weights import ANOTHER, Description, load_file, read_description, read_tensors, save_weights
from iddpm.config import Config, DatasetSpec, first_mistake
from iddpm.errors import UserError
from iddpm.files import locked, replacing, write_json
from iddpm.model import Model

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


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name tells."""
    return int(checkpoint.name.removeprefix("step-"))


class RunDirectory:
    """`runs/<name>`: config.json, metrics.jsonl, samples/, checkpoints/, report.html."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / "config.json").is_file()

    @property
    def metrics(self) -> Path:
        """One JSON record a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Pictures made during training."""
        return self.path / "samples"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def begin(self, config: Config, spec: DatasetSpec, fingerprint: str = "") -> None:
        """Write config.json. The fingerprint is the data's, to notice if it changes."""
        dataset = {**spec.model_dump(mode="json"), "fingerprint": fingerprint}
        write_json(self.path / "config.json", {**config.to_json(), "dataset": dataset})

    def check_data(self, spec: DatasetSpec, fingerprint: str) -> None:
        """UserError where the data is not what the run was begun with."""
        known = json.loads((self.path / "config.json").read_text())["dataset"].get("fingerprint", "")
        if self.read_config()[1] != spec or known != fingerprint:
            raise UserError(
                f"data.source: is no longer what the run in {self.path} was begun with; bring the data back, or name"
                " another directory with --run"
            )

    def read_config(self) -> tuple[Config, DatasetSpec]:
        """The run's configuration and dataset; UserError where there is no run, or one of another version."""
        path = self.path / "config.json"
        if not path.is_file():
            way = f"begin one with: iddpm train PRESET --run {self.path}"
            raise UserError(f"{self.path}: holds no run (no config.json); {way}")
        try:
            values = json.loads(path.read_text())
            dataset = values.pop("dataset")
            dataset.pop("fingerprint", None)
            spec = DatasetSpec.model_validate(dataset)
        except ValidationError as error:
            raise UserError(f"{path}: {first_mistake(error, ['dataset'])}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: cannot be read as a run's configuration ({error}); mend it, or name another run"
            ) from None
        return Config.from_json(values, str(path)), spec

    def lock(self) -> Callable[[], None]:
        """Keep other processes from training here until what this returns is called, or the process ends.

        UserError if another one is training.
        """
        taken = f"{self.path}: another process is training this run; wait for it, or name another with --run"
        return locked(self.path / "lock", taken)

    def checkpoints(self) -> list[Path]:
        """All of them, the newest last."""
        return sorted((self.path / "checkpoints").glob("step-*"))

    def latest(self) -> Path | None:
        """The one that `latest` names; None before the first."""
        pointer = self.path / "checkpoints" / "latest"
        if not pointer.is_file():
            return None
        checkpoint = pointer.parent / pointer.read_text().strip()
        if not checkpoint.is_dir():
            known = self.checkpoints()
            way = f"write {known[-1].name} into it" if known else self._anew
            raise UserError(f"{pointer}: names {checkpoint.name}, which is not there; {way}")
        return checkpoint

    @property
    def _anew(self) -> str:
        """The way out where no checkpoint is left."""
        return f"remove {self.path} and train anew, or name another directory with --run"

    def save(self, config: Config, spec: DatasetSpec, state: TrainingState) -> Path:
        """A checkpoint of `state`, whole or not at all; then forget those beyond `keep_checkpoints`.

        Those of interruptions do not push out the regular ones.
        """
        folder = self.path / "checkpoints" / f"step-{state.step:08d}"
        with replacing(folder) as building:
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            for weights, tensors in [("raw", state.raw), *((f"ema {r}", t) for r, t in state.averages.items())]:
                description = Description(config, spec, state.step, weights)
                save_weights(building / weights_file(weights), tensors, description)
            groups = {"optimizer": state.optimizer, "timesteps": state.timestep_sampler, "window": state.window}
            flat = {f"{group}/{name}": tensor for group, known in groups.items() for name, tensor in known.items()}
            save_file(flat, building / "training.safetensors", {"step": str(state.step)})
        with replacing(folder.parent / "latest") as beside:
            beside.write_text(folder.name + "\n")
        training = config.training
        known = [path for path in self.checkpoints() if path.name <= folder.name]
        regular = [path for path in known if step_of(path) % training.checkpoint_every == 0]
        kept = known[-training.keep_checkpoints :] + regular[-training.keep_checkpoints :]
        for old in [*self.checkpoints(), *folder.parent.glob(".step-*.part")]:
            if old not in kept:  # older ones, those of a branch that was left, and what a kill cut short
                shutil.rmtree(old, ignore_errors=True)
        return folder

    def load_state(self, config: Config) -> TrainingState | None:
        """The newest checkpoint's state; None before the first. UserError for a damaged one, with the way out."""
        folder = self.latest()
        if folder is None:
            return None
        try:
            raw, header = read_tensors(folder / weights_file("raw"))
            description = Description.from_header(header, folder / weights_file("raw"))
            averages = {
                rate: read_tensors(folder / weights_file(f"ema {rate}"))[0] for rate in config.training.ema_rates
            }
            flat, _ = read_tensors(folder / "training.safetensors")
        except UserError as error:
            others = [path.name for path in self.checkpoints() if path != folder]
            way = f"write {others[-1]} into {folder.parent / 'latest'} to go on from there" if others else self._anew
            raise UserError(f"{str(error).removesuffix(f'; {ANOTHER}')}; {way}") from None
        groups: dict[str, dict[str, Tensor]] = {"optimizer": {}, "timesteps": {}, "window": {}}
        for name, tensor in flat.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = tensor
        return TrainingState(
            description.step, raw, averages, groups["optimizer"], groups["timesteps"], groups["window"]
        )

    def check_same(self, config: Config) -> list[str]:
        """Where `config` differs from the run's, in words; UserError where the steps so far depend on it."""
        known, _ = self.read_config()
        latest = self.latest()
        if latest is None:
            return []  # nothing depends on it yet
        changes = []
        for field, was, now in _differences(known, config):
            section, _, name = field.partition(".")
            if field == "training.steps" and now < step_of(latest):
                raise UserError(f"training.steps: the run in {self.path} is at step {step_of(latest)}, past {now}")
            harmless = section == "training" and name in CHANGEABLE
            if known.training.decay and field == "training.steps":
                raise UserError(
                    f"training.steps: the learning rate of the run in {self.path} falls to zero at step {was}"
                    f" (training.decay), so it cannot end at {now}; name another directory with --run"
                )
            if not harmless:
                raise UserError(
                    f"{field}: the run in {self.path} has {was!r}, asked for {now!r}; leave it out to go on, or name"
                    " another directory with --run"
                )
            changes.append(f"{field} is {now} from here on, was {was}")
        return changes


def _differences(was: Config, now: Config) -> list[tuple[str, Any, Any]]:
    old, new = was.model_dump(), now.model_dump()
    return [
        (f"{section}.{name}", old[section][name], new[section][name])
        for section in old
        for name in old[section]
        if old[section][name] != new[section][name]
    ]


def weights_file(weights: str) -> str:
    """The file of "raw" or "ema 0.9999" weights in a checkpoint."""
    return "model.safetensors" if weights == "raw" else f"{weights.replace(' ', '-')}.safetensors"


def load(path: Path | str, *, weights: str | None = None, config: Config | None = None) -> Model:
    """A model from a run directory, one of its checkpoints, or a file of weights. It needs no flags.

    weights: "raw", or "ema" or a rate such as "0.9999"; by default the run's first average.
    config: for the authors' released files, which do not describe themselves.
    UserError for anything that is missing, damaged, of another version, or not tensors.
    """
    path = Path(path)
    if path.is_file():
        if weights is not None:
            raise UserError(f"weights: {path} is one set of weights; name the run's directory to choose")
        return load_file(path, config)
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run or file of weights")
    if config is not None:
        raise UserError(f"preset: {path} describes itself; leave --preset out")
    folder: Path | None = path
    if RunDirectory(path).exists or not path.name.startswith("step-"):
        run = RunDirectory(path)
        run.read_config()
        folder = run.latest()
        if folder is None:
            raise UserError(f"{path}: has no checkpoint yet; train it with: iddpm train {path}")
    assert folder is not None
    return load_file(folder / _chosen(folder, weights))


def _chosen(folder: Path, weights: str | None) -> str:
    averages = sorted(path.name for path in folder.glob("ema-*.safetensors"))
    if weights == "raw":
        return weights_file("raw")
    if weights in (None, "ema"):
        description = read_description(folder / weights_file("raw"))
        return weights_file(f"ema {description.config.training.ema_rates[0]}")
    name = weights_file(f"ema {weights}")
    if name not in averages:
        rates = ", ".join(n.removeprefix("ema-").removesuffix(".safetensors") for n in averages)
        raise UserError(f"weights: {weights} is not in {folder}; use raw or one of {rates}")
    return name
