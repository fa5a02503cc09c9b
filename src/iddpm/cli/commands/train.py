"""`iddpm train PRESET|CONFIG|RUN`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from iddpm.cli.arguments import parsed
from iddpm.cli.progress import ProgressLine, StopSignal, say
from iddpm.config import Config, load_config
from iddpm.errors import UserError
from iddpm.files import check_folder
from iddpm.presets import PRESETS

RECENT = 100
"""Steps whose mean loss is told."""
if TYPE_CHECKING:
    from iddpm.training import Event, Session
    from iddpm.training.trainer import StepResult

DESCRIPTION = "Train a model. The same command again goes on where it was, exactly.\n\npresets:\n" + "\n".join(
    f"  {name}: {preset.about}" for name, preset in PRESETS.items()
)


class TrainArguments(Config):
    """A run: where it is, what it runs on, and every field of its configuration."""

    run: str | None = None
    """Directory of the run. None means runs/PRESET."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object at the end."""


def run(words: Sequence[str]) -> int:
    """The command; 0 when training is done, 130 or 143 when it was interrupted and saved."""
    start, flags = _split(words)
    default, where = starting_point(start)
    with parsed(
        TrainArguments,
        flags,
        command=f"train {start or 'PRESET|CONFIG'}",
        description=DESCRIPTION,
        default=TrainArguments(**{name: getattr(default, name) for name in Config.model_fields}, run=where),
    ) as arguments:
        config = Config(**{name: getattr(arguments, name) for name in Config.model_fields})
        if arguments.run == "":
            raise UserError("is empty", field="run", way="name a directory")
        return _train(config, Path(arguments.run or where), arguments.device, as_json=arguments.as_json)


def _split(words: Sequence[str]) -> tuple[str | None, list[str]]:
    if words and not words[0].startswith("-"):
        return words[0], list(words[1:])
    if "--help" in words or "-h" in words:
        return None, ["--help"]
    raise UserError("train: name a preset, a configuration file or a run first, e.g. iddpm train digits --run runs/a")


def starting_point(start: str | None) -> tuple[Config, str]:
    """The configuration that flags change, and the directory of the run unless they name another."""
    if start is None:
        return Config(), "runs/PRESET"
    if start in PRESETS:
        return PRESETS[start].config, f"runs/{start}"
    path = Path(start)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path}: holds no run (no config.json); use a preset: {', '.join(PRESETS)}")
        from iddpm.checkpoints.run import RunDirectory

        return RunDirectory(path).read_config()[0], str(path)
    if path.suffix == ".json" or path.exists():
        return load_config(path), f"runs/{path.stem}"
    raise UserError(f'"{start}" is no preset, file or run; presets are {", ".join(PRESETS)}')


def _train(config: Config, where: Path, device_name: str, *, as_json: bool) -> int:
    from iddpm.acceleration import choose_device
    from iddpm.checkpoints.run import RunDirectory
    from iddpm.cli.data_flags import open_with_progress
    from iddpm.training import Finished, Session

    device = choose_device(device_name)
    check_folder(where, "run")
    directory = RunDirectory(where)
    changes = directory.check_same(config) if directory.exists else []
    session = Session(config, open_with_progress(config.data), directory, device, say)
    if session.trainer.step < config.training.steps:
        for change in changes:
            say(change)
    if session.trainer.processes.is_first:
        _introduce(session)
    begun = session.trainer.step
    finished = False
    recent: deque[StepResult] = deque(maxlen=RECENT)
    with (
        StopSignal("saving a checkpoint", " and loses the steps since the last one") as stop,
        ProgressLine("training", config.training.steps, begun) as line,
    ):
        for event in session.events(stop):
            if session.trainer.processes.is_first:
                _show(event, line, recent)
            finished = isinstance(event, Finished)
    if not finished:
        say(f"stopped at step {session.trainer.step}; to go on: iddpm train {where}")
        return 128 + stop.number
    if session.trainer.processes.is_first:
        _say_done(session, begun, as_json=as_json)
    return 0


def _introduce(session: Session) -> None:
    from iddpm.kernels.library import unavailable

    if session.trainer.device.type == "cpu" and (reason := unavailable()) is not None:
        say(f"kernels: {reason}; going on with torch's own operators, at half to two thirds of the speed")
    trainer, splits = session.trainer, session.splits
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    held_out = len(splits.validation) if splits.validation is not None else 0
    start = f"from step {trainer.step}" if trainer.step else "from the start"
    say(
        f"{session.run.path}: {parameters:,} parameters on {trainer.device}; {len(splits.train):,} items of"
        f" {'x'.join(map(str, splits.spec.shape))} in {splits.spec.levels} levels, {held_out:,} held out;"
        f" {start} to step {session.config.training.steps}"
    )


def _show(event: Event, line: ProgressLine, recent: deque[StepResult]) -> None:
    from iddpm.training import Stepped, Validated, Working, WroteSamples

    match event:
        case Stepped(step, _, result):
            recent.append(result)
            line.update(step, lambda: _losses(recent))
        case Working(what, done, count):
            line.note(f"{what} {done}/{count}")
        case Validated(step, score):
            bits, error = score.total.mean, score.total.error
            line.say(
                f"step {step}: {bits:.4f} +- {error:.4f} bits/dim on {score.count} held-out items,"
                f" {len(score.terms)} steps"
            )
        case WroteSamples(step, path):
            line.say(f"step {step}: samples in {path}")
        case _:
            pass


def _losses(recent: deque[StepResult]) -> str:
    """Means over the last steps: a single batch's say little."""
    loss = sum(float(result.total.mean()) for result in recent) / len(recent)
    bounds = [float(result.vlb.mean()) for result in recent if result.vlb is not None]
    bound = f", training bound {sum(bounds) / len(bounds):.2f} bits/dim" if bounds else ""
    return f"loss {loss:.4f}{bound}"


def _say_done(session: Session, begun: int, *, as_json: bool) -> None:
    where, step = session.run.path, session.trainer.step
    if begun == step:
        more = "another run" if session.config.training.decay else "--training.steps"
        say(f"{where}: training is done already, {step} of {step} steps; for more, {more}")
    say(f"trained: iddpm sample {where} --out samples.png; iddpm nll {where}; iddpm report {where}")
    if as_json:
        validated = [record for record in session.records.read() if "validation_bits" in record]
        print(json.dumps({"run": str(where), "validation": validated[-1] if validated else None, "step": step}))
    else:
        print(where)
