"""The picture of quality against steps."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter
from PIL import Image

from iddpm.evaluation.metrics.metric import CONFIDENCE
from iddpm.few_steps.study import WHOLE
from iddpm.names import MODEL, PLANNED, READINGS, SAMPLERS, STRIDES

Style = tuple[str, str, str]
"""A line's colour, marker and dashes."""
OF_VARIANCES: tuple[Style, ...] = (
    ("#1b4f8a", "o", "-"),
    ("#999999", "v", "--"),
    ("#555555", "^", "--"),
    ("#8ab17d", "s", "--"),
    ("#2a9d8f", "s", "-"),
    ("#b79ced", "D", ":"),
)
"""Styles of the model's own variance, and of READINGS in their order."""
OF_SAMPLERS: tuple[Style, ...] = (
    ("#e9a03b", "o", "-"),
    ("#d1495b", "P", "-"),
    ("#f08a9b", "X", "-"),
    ("#7a1f3d", "*", "-"),
)
"""Styles of samplers without a variance, in the order of SAMPLERS."""
MOST = {"fd": 100.0, "bits": 3.0}
"""Times the whole chain's value: what is worse is cut off."""


def picture(rows: list[dict[str, Any]], title: str, longest: int) -> Image.Image:
    """Draw FD (above) and bits/dim (below) against evaluations of the network, a column for each stride.

    rows: as `Study.judge` gives them, with the whole chain's. longest: that chain's length, for which fewer steps may
    stand.
    """
    whole = next(row for row in rows if row["stride"] == WHOLE)
    titles = {**{name: STRIDES.about(name) for name in STRIDES}, PLANNED: "planned steps"}
    strides = [stride for stride in titles if any(row["stride"] == stride for row in rows)]
    figure = Figure(figsize=(max(6.4, 4.1 * len(strides)), 7.2), layout="constrained", dpi=110)
    figure.suptitle(_heading(title, whole["steps"], longest, is_narrow=len(strides) == 1), fontsize=10)
    panels = figure.subplots(2, len(strides), sharex=True, sharey="row", squeeze=False)
    for column, stride in enumerate(strides):
        drawn = [row for row in rows if row["stride"] == stride]
        _draw(panels[0, column], drawn, whole, "fd", "value")
        _draw(panels[1, column], drawn, whole, "bits", "mean")
        panels[0, column].set_title(titles[stride], fontsize=10)
        panels[1, column].set_xlabel("evaluations of the network for a sample")
    _limit(panels[0, 0], rows, whole, "fd", "value")
    _limit(panels[1, 0], rows, whole, "bits", "mean")
    panels[0, 0].set_ylabel("Frechet distance")
    panels[1, 0].set_ylabel("bits/dim, held out")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)


def _heading(title: str, steps: int, longest: int, *, is_narrow: bool) -> str:
    """Return the title with what the line and the band are, and what is cut off."""
    stand_in = f"{steps} evenly spaced of all {longest:,} steps"
    chain = f"the whole chain, {longest:,} steps" if steps == longest else stand_in
    limits = " and ".join(f"{MOST[key]:g} times that {name}" for key, name in (("fd", "FD"), ("bits", "bits/dim")))
    between = "\n" if is_narrow else "; "
    return f"{title}\nline and band: {chain}, with the 95 % interval{between}above {limits}, points are cut off"


def _draw(panel: Axes, rows: list[dict[str, Any]], whole: dict[str, Any], key: str, value: str) -> None:
    """Draw a stride's lines, and the whole chain's line and band."""
    ticks = sorted({row["evaluations"] for row in rows})
    scored = [row for row in rows if row[key] is not None]
    methods = {row["method"]: row for row in scored}
    for place, (method, first) in enumerate(methods.items()):
        points = sorted(
            (row["evaluations"], row[key][value], row[key]["error"]) for row in scored if row["method"] == method
        )
        counts, values, errors = zip(*points, strict=True)
        if len(ticks) == 1:  # side by side
            counts = (counts[0] * 1.02 ** (place - (len(methods) - 1) / 2),)
        colour, marker, line = _style(first)
        panel.errorbar(
            counts, values, errors, color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.2,
            elinewidth=0.7, label=_label(first),
        )  # fmt: skip
    middle, margin = whole[key][value], CONFIDENCE * whole[key]["error"]
    panel.axhspan(middle - margin, middle + margin, color="#000", alpha=0.1, lw=0)
    panel.axhline(middle, color="#000", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlim=(ticks[0] / 1.25, ticks[-1] * 1.25))
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _limit(panel: Axes, rows: list[dict[str, Any]], whole: dict[str, Any], key: str, value: str) -> None:
    """Show all intervals whole, but for what is cut off."""
    middle = whole[key][value]
    bars = [(row[key][value], row[key]["error"]) for row in rows if row[key] is not None]
    bars.append((middle, CONFIDENCE * whole[key]["error"]))
    # An interval that goes down to nothing would have no end on a logarithmic axis.
    least = max(min(max(mean - margin, mean / 4) for mean, margin in bars), middle / MOST[key])
    most = min(max(mean + margin for mean, margin in bars), MOST[key] * middle)
    panel.set_ylim(0.9 * least, 1.1 * most)


def _style(row: dict[str, Any]) -> Style:
    """Return how the line of a row's method is drawn: by its place in the registry, or as one added from outside."""
    solvers = [name for name in SAMPLERS if not SAMPLERS.fact(name, "uses_variance", False)]
    names, styles, name = [MODEL, *READINGS], OF_VARIANCES, row["variance"]
    if row["sampler"] in solvers:
        names, styles, name = solvers, OF_SAMPLERS, row["sampler"]
    place = names.index(name) if name in names else len(styles)
    return styles[place] if place < len(styles) else (f"C{place % 10}", "x", "-.")


def _label(row: dict[str, Any]) -> str:
    """Return what the legend says of a row's method."""
    if row["method"] == row["sampler"]:
        return SAMPLERS.about(row["sampler"]) if row["sampler"] in SAMPLERS else str(row["sampler"])
    if row["variance"] == MODEL:
        return f"{row['method']} variance (the model's)"
    evaluations = READINGS.fact(row["variance"], "evaluations", 1) if row["variance"] in READINGS else 1
    return f"{row['method']} variance" + (f" ({evaluations} evaluations a step)" if evaluations > 1 else "")
