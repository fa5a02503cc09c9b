"""An experiment's results in files: a page, its picture, and the numbers."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table
from iddpm.experiments.scales import Scale
from iddpm.files import replacing, write_json
from iddpm.pictures import save_image

LONGEST = 200
"""The most numbers of a list that is kept with a page."""


@dataclass(frozen=True)
class Page:
    """All that a page is made of. name: the experiment's. command: the one that makes it again."""

    name: str
    experiment: Experiment
    scale: Scale
    cells: list[Cell]
    measured: list[Measured]
    outcome: Outcome
    command: str

    def write(self, folder: Path) -> Path:
        """Write NAME-SCALE.md with its .png and .json in `folder`, and return the page's path."""
        name, outcome = f"{self.name}-{self.scale}", self.outcome
        buffer = io.BytesIO()
        outcome.figure.savefig(buffer, format="png", facecolor="white")
        save_image(folder / f"{name}.png", Image.open(buffer))
        values = {
            "experiment": self.name,
            "scale": self.scale.name,
            "command": self.command,
            "findings": [vars(finding) for finding in outcome.findings],
            "cells": [_brief(cell) for cell in self.measured],
        }
        write_json(folder / f"{name}.json", values)
        page = folder / f"{name}.md"
        with replacing(page) as beside:
            beside.write_text(self._text(f"{name}.png"))
        return page

    def _text(self, picture: str) -> str:
        experiment, outcome = self.experiment, self.outcome
        lines = [
            f"# {experiment.title}",
            "",
            f"The paper's {experiment.paper}, at the scale {self.scale.name}. Made by",
            "",
            "```sh",
            self.command,
            "```",
            "",
            "| finding | here | statistic |",
            "|---|---|---|",
            *(f"| {finding.claim} | {finding.verdict} | {finding.statistic} |" for finding in outcome.findings),
            "",
            f"![{experiment.title}]({picture})",
        ]
        for table in self.tables():
            lines += ["", f"## {table.title}", "", *_markdown(table)]
        if outcome.notes:
            lines += ["", "## Where it departs from the paper", "", *(f"- {note}" for note in outcome.notes)]
        return "\n".join(lines) + "\n"

    def tables(self) -> list[Table]:
        """Return the outcome's tables, and the FLOPs and wall time of every kind of run, over its seeds."""
        kinds: dict[str, list[tuple[Cell, Measured]]] = {}
        for cell, measured in zip(self.cells, self.measured, strict=True):
            setting = {name: value for name, value in cell.labels.items() if name != "seed"}
            kinds.setdefault(str(replace(cell, labels=setting)), []).append((cell, measured))
        rows = [
            [
                kind,
                f"{runs[0][0].subject.flops() / 1e12:.3g}",
                _mean_seconds([measured.making for _, measured in runs]),
                _mean_seconds([measured.measuring for _, measured in runs]),
            ]
            for kind, runs in kinds.items()
        ]
        flops = sum(cell.subject.flops() for cell in self.cells)
        making, measuring = (sum(getattr(run, time) for run in self.measured) for time in ("making", "measuring"))
        total = [f"all {len(self.cells)} runs, in sum", f"{flops / 1e12:.3g}", f"{making:.0f}", f"{measuring:.0f}"]
        header = ["run", "training, TFLOP", "training, s", "measuring, s"]
        return [*self.outcome.tables, Table("Compute of one run", header, [*rows, total])]


def _brief(cell: Measured) -> dict[str, Any]:
    """Return a cell as plain values, without lists of thousands of numbers, which stay with the run."""
    brief = {
        label: {name: value for name, value in result.items() if not isinstance(value, list) or len(value) <= LONGEST}
        for label, result in cell.results.items()
    }
    return {"labels": cell.labels, "found": brief, "making": cell.making, "measuring": cell.measuring}


def _mean_seconds(values: list[float]) -> str:
    spent = [value for value in values if value]
    return f"{sum(spent) / len(spent):.0f}" if spent else "not here"


def _markdown(table: Table) -> list[str]:
    return [
        f"| {' | '.join(table.header)} |",
        f"|{'---|' * len(table.header)}",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]


def plain(table: Table) -> list[str]:
    """Return a table's lines for a terminal."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
