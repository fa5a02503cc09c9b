"""An experiment's results in files: a page, its picture, and the numbers."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from iddpm.experiments.experiment import JSON, Cell, Experiment, Label, Measured, Outcome, Table
from iddpm.experiments.scales import Scale
from iddpm.files import replacing, write_json
from iddpm.pictures import save_image

LONGEST = 200
"""Numbers in a list of a page's numbers."""


def write(
    folder: Path,
    experiment: Experiment,
    scale: Scale,
    outcome: Outcome,
    cells: list[Cell],
    measured: list[Measured],
    command: str,
) -> Path:
    """NAME-SCALE.md with its .png and .json in `folder`; the page's path. `Scale.other_data` is part of the names."""
    name = f"{experiment.name}-{scale}"
    figure = outcome.figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    save_image(folder / f"{name}.png", Image.open(buffer))
    write_json(
        folder / f"{name}.json",
        {
            "experiment": experiment.name,
            "scale": scale.name,
            "command": command,
            "findings": [vars(finding) for finding in outcome.findings],
            "cells": [vars(replace(each, found=_brief(each.found))) for each in measured],
        },
    )
    page = folder / f"{name}.md"
    with replacing(page) as beside:
        beside.write_text(text(experiment, scale, outcome, compute(cells, measured), f"{name}.png", command))
    return page


def _brief(found: dict[str, JSON]) -> dict[str, JSON]:
    """Without what has thousands of numbers, which stays with the run."""
    return {
        label: {name: value for name, value in result.items() if not isinstance(value, list) or len(value) <= LONGEST}
        for label, result in found.items()
    }


def text(experiment: Experiment, scale: Scale, outcome: Outcome, compute: Table, picture: str, command: str) -> str:
    """The page."""
    lines = [
        f"# {experiment.title}",
        "",
        f"The paper's {experiment.paper}, at the scale {scale.name}. Made by",
        "",
        "```sh",
        command,
        "```",
        "",
        "| finding | here | statistic |",
        "|---|---|---|",
        *(f"| {each.claim} | {each.verdict} | {each.statistic} |" for each in outcome.findings),
        "",
        f"![{experiment.title}]({picture})",
    ]
    for table in (*outcome.tables, compute):
        lines += ["", f"## {table.title}", "", *markdown(table)]
    if outcome.notes:
        lines += ["", "## Where it departs from the paper", "", *(f"- {note}" for note in outcome.notes)]
    return "\n".join(lines) + "\n"


def compute(cells: list[Cell], measured: list[Measured]) -> Table:
    """FLOPs and wall time of every kind of run, over its seeds."""
    kinds: dict[str, list[tuple[Cell, Measured]]] = {}
    for cell, found in zip(cells, measured, strict=True):
        kinds.setdefault(str(replace(cell, labels=_without_seed(cell))), []).append((cell, found))
    rows = [
        [
            kind,
            f"{pairs[0][0].subject.flops() / 1e12:.3g}",
            *(_mean_seconds([getattr(found, what) for _, found in pairs]) for what in ("making", "measuring")),
        ]
        for kind, pairs in kinds.items()
    ]
    flops = sum(cell.subject.flops() for cell in cells)
    totals = (sum(getattr(found, what) for found in measured) for what in ("making", "measuring"))
    rows.append([f"all {len(cells)} runs, in sum", f"{flops / 1e12:.3g}", *(f"{total:.0f}" for total in totals)])
    return Table("Compute of one run", ["run", "training, TFLOP", "training, s", "measuring, s"], rows)


def _mean_seconds(values: list[float]) -> str:
    known = [value for value in values if value]
    return f"{sum(known) / len(known):.0f}" if known else "not here"


def _without_seed(cell: Cell) -> dict[str, Label]:
    return {name: value for name, value in cell.labels.items() if name != "seed"}


def markdown(table: Table) -> list[str]:
    """A table's lines."""
    return [
        f"| {' | '.join(table.header)} |",
        f"|{'---|' * len(table.header)}",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]


def plain(table: Table) -> list[str]:
    """A table's lines for a terminal."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
