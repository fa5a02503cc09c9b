"""`iddpm report RUN`: one self-contained page, and its figures on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.progress import say, show
from iddpm.evaluation.results import number, title_of

if TYPE_CHECKING:
    from iddpm.checkpoints.run import RunDirectory
    from iddpm.model import Model
    from iddpm.report.facts import Facts, ReportOptions


@dataclass(frozen=True)
class ReportArguments:
    """Which run, and how much to measure."""

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run's directory."""
    samples: int = 64
    """Samples to show, drawn on the whole chain."""
    judged: int = 500
    """Samples to judge at most, beside as many held-out items, where the data has classes. 0 judges none."""
    items: int | None = None
    """Held-out items to score. None scores all."""
    strides: tuple[str, ...] = ("50", "25")
    """Shorter chains whose bound stands beside the whole one's."""
    seed: int = 0
    """Of the samples."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: bool = False
    """Print one JSON object."""


def run(words: Sequence[str]) -> int:
    """Write a report; return the exit code."""
    with parsed(ReportArguments, words, command="report", description="Write one page about a run.") as arguments:
        return _run(arguments)


def _run(arguments: ReportArguments) -> int:
    check_least(arguments, samples=1, items=1)
    from iddpm.checkpoints.run import RunDirectory
    from iddpm.cli.model_flags import Weights
    from iddpm.cli.work.chain import load_model
    from iddpm.evaluation.scores import check_count
    from iddpm.report.facts import ReportOptions
    from iddpm.report.page import page, write_page
    from iddpm.training.records import Records

    if arguments.judged != 0:
        check_count(arguments.judged, "judged")
    directory = RunDirectory(Path(arguments.run))
    directory.read_config()
    model = load_model(arguments.run, Weights(device=arguments.device))
    longest = len(model.diffusion.schedule)
    shorter = tuple(stride for stride in arguments.strides if not (stride.isdecimal() and int(stride) >= longest))
    for stride in shorter:
        model.diffusion.strided(stride)
    options = ReportOptions(arguments.samples, arguments.judged, arguments.seed, arguments.items, (None, *shorter))
    facts = _facts(directory, model, options)
    write_page(directory, page(directory, model, facts, Records(directory.metrics).read()))
    _print_result(directory, model, facts, as_json=arguments.json)
    return 0


def _facts(directory: RunDirectory, model: Model, options: ReportOptions) -> Facts:
    from iddpm.cli.data_flags import open_with_progress
    from iddpm.report.facts import known_facts, measure

    folder = directory.path / "report"
    known = known_facts(folder, model, options)
    if known is not None:
        say(f"{directory.path}: measured already at step {model.step}; drawing the page")
        return known
    splits = open_with_progress(model.config.data)
    return show(measure(folder, model, splits, options))


def _print_result(directory: RunDirectory, model: Model, facts: Facts, *, as_json: bool) -> None:
    scores: list[dict[str, Any]] = facts.values.get("scores", [])
    if as_json:
        shown = {"report": str(directory.report), "training_step": model.step, **facts.values}
        print(json.dumps(shown))
        return
    for score in scores:
        total = score["total"]
        print(f"bits/dim in {len(score['terms']):>4} steps  {total['mean']:.4f} +- {total['error']:.4f}")
    for known in facts.values.get("baselines", []):
        print(f"{known['name']:<22} {known['mean']:.4f} +- {known['error']:.4f}")
    _print_quality(facts.values.get("quality"))
    distance = facts.values["distance"]
    print(f"nearest training item   {distance['samples']:.2f} grey levels a pixel (samples)", end="")
    print(f", {distance['held_out']:.2f} (held-out items)" if "held_out" in distance else "")
    print(f"report                  {directory.report}")


def _print_quality(quality: dict[str, Any] | None) -> None:
    if quality is None:
        return
    held_out = quality["held_out"]
    for name in ("frechet", "precision", "recall", "authenticity"):
        line = f"{title_of(name, 'classifier'):<22} {number(quality['samples']['scores'][name])}"
        print(line if held_out is None else f"{line} (held-out items {number(held_out['scores'][name])})")
