"""Measurements of a run, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from iddpm.checkpoints.run import RunDirectory
from iddpm.cli.commands.report import ReportArguments
from iddpm.cli.data_flags import open_with_progress
from iddpm.cli.model_flags import Weights
from iddpm.cli.progress import say, show
from iddpm.cli.work.chain import accelerate, load_model
from iddpm.evaluation.results import number, title_of
from iddpm.evaluation.scores import check_count
from iddpm.model import Model
from iddpm.report.facts import Facts, ReportOptions, known_facts, measure
from iddpm.report.page import page, write_page
from iddpm.training.records import Records


def write_report(arguments: ReportArguments) -> int:
    """Measure a run, write its page, and print what is in it; return the exit code."""
    if arguments.judged != 0:
        check_count(arguments.judged, "judged")
    directory = RunDirectory(Path(arguments.run))
    directory.read_config()
    model = load_model(arguments.run, Weights(device=arguments.device))
    longest = len(model.diffusion.schedule)
    accelerate(model, arguments, calls=longest)
    shorter = tuple(stride for stride in arguments.strides if not (stride.isdecimal() and int(stride) >= longest))
    for stride in shorter:
        model.diffusion.strided(stride)
    options = ReportOptions(arguments.samples, arguments.judged, arguments.seed, arguments.items, (None, *shorter))
    folder = directory.path / "report"
    facts = known_facts(folder, model, options)
    if facts is None:
        facts = show(measure(folder, model, open_with_progress(model.config.data), options))
    else:
        say(f"{directory.path}: measured already at step {model.step}; drawing the page")
    write_page(directory, page(directory, model, facts, Records(directory.metrics).read()))
    _print_result(directory, model, facts, as_json=arguments.json)
    return 0


def _print_result(directory: RunDirectory, model: Model, facts: Facts, *, as_json: bool) -> None:
    scores: list[dict[str, Any]] = facts.values.get("scores", [])
    if as_json:
        about = {"report": str(directory.report), "training_step": model.step, "precision": model.precision}
        print(json.dumps({**about, **facts.values}))
        return
    for score in scores:
        total = score["total"]
        print(f"bits/dim in {len(score['terms']):>4} steps  {total['mean']:.4f} +- {total['error']:.4f}")
    for baseline in facts.values.get("baselines", []):
        print(f"{baseline['name']:<23} {baseline['mean']:.4f} +- {baseline['error']:.4f}")
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
        line = f"{title_of(name, 'classifier'):<23} {number(quality['samples']['scores'][name])}"
        print(line if held_out is None else f"{line} (held-out items {number(held_out['scores'][name])})")
