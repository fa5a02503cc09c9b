"""Training with its progress on stderr, saved when it is interrupted."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

from iddpm.acceleration import choose_device
from iddpm.checkpoints.run import RunDirectory
from iddpm.cli.data_flags import open_with_progress
from iddpm.cli.progress import ProgressLine, StopSignal, say
from iddpm.config import Config
from iddpm.kernels.library import unavailable
from iddpm.progress import Progress
from iddpm.training import Event, Finished, Session, Stepped, Validated, WroteSamples
from iddpm.training.trainer import StepResult

RECENT = 100
"""Steps whose mean loss is shown."""


def train(config: Config, place: Path, device_name: str, *, as_json: bool) -> int:
    """Train a run, new or begun; return the exit code."""
    device = choose_device(device_name)
    directory = RunDirectory(place)
    changes = directory.check_same(config) if directory.exists else []
    session = Session(config, open_with_progress(config.data), directory, device=device, tell=say)
    if session.trainer.step < config.training.steps:
        for change in changes:
            say(change)
    is_first = session.trainer.backend.is_first
    if is_first:
        _introduce(session)
    begun = session.trainer.step
    finished = False
    recent: deque[StepResult] = deque(maxlen=RECENT)
    with (
        StopSignal("saving a checkpoint", " and loses the steps since the last one") as stop,
        ProgressLine("training", config.training.steps, begun) as line,
    ):
        for event in session.events(stop):
            if is_first:
                _show(event, line, recent)
            finished = isinstance(event, Finished)
    if not finished:
        say(f"stopped at step {session.trainer.step}; to go on: iddpm train {place}")
        return 128 + stop.number
    if is_first:
        _print_result(session, begun, as_json=as_json)
    return 0


def _introduce(session: Session) -> None:
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
    match event:
        case Stepped(step, _, result):
            recent.append(result)
            line.update(step, lambda: _losses(recent))
        case Progress(what, done, total):
            line.note(f"{what} {done}/{total}")
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
    """Return the mean losses of the last steps: a single batch's say little."""
    loss = sum(float(result.total.mean()) for result in recent) / len(recent)
    bounds = [float(result.vlb.mean()) for result in recent if result.vlb is not None]
    bound = f", training bound {sum(bounds) / len(bounds):.2f} bits/dim" if bounds else ""
    return f"loss {loss:.4f}{bound}"


def _print_result(session: Session, begun: int, *, as_json: bool) -> None:
    place, step = session.run.path, session.trainer.step
    if begun == step:
        more = "another run" if session.config.training.decay else "--training.steps"
        say(f"{place}: training is done already, {step} of {step} steps; for more, {more}")
    say(f"trained: iddpm sample {place} --out samples.png; iddpm nll {place}; iddpm report {place}")
    if as_json:
        validated = [record for record in session.records.read() if "validation_bits" in record]
        print(json.dumps({"run": str(place), "validation": validated[-1] if validated else None, "step": step}))
    else:
        print(place)
