"""Results of evaluations, as a table and as a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from iddpm.cli.commands.compare import CompareArguments
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
from iddpm.pictures import save_image


def compare(arguments: CompareArguments) -> int:
    """Print results side by side, and draw them; return the exit code."""
    names = list(arguments.results)
    results = [read_result(Path(name)) for name in names]
    refuse_incomparable(results, names)
    labels = _labels(names)
    if arguments.out is not None:
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
    """Draw a panel for every score: a point with its 95 % interval (or grey, with its spread) for every result."""
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
        for row, result in enumerate(results):
            entry = result["scores"][name]
            interval = entry["interval"]
            bar, color = (
                (entry.get("spread", 0.0), "#999") if interval is None else (interval[1] - entry["value"], "#2a6fbb")
            )
            panel.errorbar(entry["value"], row, xerr=bar, fmt="o", color=color, capsize=3)
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
