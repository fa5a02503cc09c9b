"""`iddpm compare A.json B.json ...`: results of evaluations side by side, where they can be compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from iddpm.cli.arguments import parsed
from iddpm.errors import UserError
from iddpm.evaluation.results import (
    Result,
    features_of,
    number,
    read_result,
    refuse_incomparable,
    shown_scores,
    subject,
    title_of,
)
from iddpm.names import METRICS

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Which results."""

    results: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RESULT.json ...")]]
    """Files that iddpm evaluate --out wrote."""
    out: str | None = None
    """A picture of them to write: NAME.png."""
    json: bool = False
    """Print one JSON object."""


def run(words: Sequence[str]) -> int:
    """Compare results; return the exit code."""
    with parsed(CompareArguments, words, command="compare", description="Put evaluations side by side.") as arguments:
        return _run(arguments)


def _run(arguments: CompareArguments) -> int:
    if len(arguments.results) < 2:
        raise UserError("two or more are needed to compare", field="results", value=len(arguments.results))
    if arguments.out is not None and Path(arguments.out).suffix.lower() != ".png":
        raise UserError(f"{arguments.out} must be called NAME.png", field="out")
    names = list(arguments.results)
    results = [read_result(Path(name)) for name in names]
    refuse_incomparable(results, names)
    labels = _labels(names)
    if arguments.out is not None:
        from iddpm.pictures import save_image

        save_image(Path(arguments.out), _picture(results, labels))
    if arguments.json:
        print(json.dumps({label: result["scores"] for label, result in zip(labels, results, strict=True)}))
    else:
        print("\n".join(_table(results, labels)))
    return 0


def _labels(names: list[str]) -> list[str]:
    stems = [Path(name).stem for name in names]
    if len(set(stems)) < len(stems):
        stems = names
    return [f"{stem} ({i})" if stems.count(stem) > 1 else stem for i, stem in enumerate(stems, 1)]


def _table(results: list[Result], labels: list[str]) -> list[str]:
    features = results[0]["reference"]["features"]["name"]
    rows = [["", *labels, ""]]
    for name in shown_scores(*results):
        numbers = (number(result["scores"][name]) for result in results)
        rows.append([title_of(name, features), *numbers, METRICS.about(name)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{label}: {subject(result['samples']['images'])}" for label, result in zip(labels, results, strict=True)]
    return [*lines, f"{_against(results)}; +- is a standard error"]


def _against(results: list[Result]) -> str:
    return f"against {subject(results[0]['reference']['images'])}, in {features_of(results[0])}"


def _picture(results: list[Result], labels: list[str]) -> Image.Image:
    """A panel for every score: a point with its 95 % interval (or grey, with its spread) for every result."""
    import io

    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure
    from PIL import Image

    features = results[0]["reference"]["features"]["name"]
    shared = shown_scores(*results)
    columns = 3
    rows = -(-len(shared) // columns)
    figure = Figure(figsize=(10, rows * (1.0 + 0.3 * len(labels)) + 0.6), layout="constrained", dpi=120)
    figure.suptitle(
        f"{results[0]['samples']['images']['count']} samples each, {_against(results)}\n"
        "bars: 95 % intervals; grey: spread between parts of the samples",
        fontsize=9,
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, shared, strict=False):
        for place, result in enumerate(results):
            entry = result["scores"][name]
            is_known = entry["interval"] is not None
            bar = entry["interval"][1] - entry["value"] if is_known else entry.get("spread", 0.0)
            panel.errorbar(entry["value"], place, xerr=bar, fmt="o", color="#2a6fbb" if is_known else "#999", capsize=3)
        panel.set_yticks(range(len(labels)), labels)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_title(f"{title_of(name, features)}\n({METRICS.about(name)})", fontsize=9)
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(shared) :]:
        panel.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)
