"""The picture of quality against steps."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter
from PIL import Image

from iddpm.evaluation.metrics.metric import CONFIDENCE

STYLES = {
    "learned": ("#1b4f8a", "o", "-"),
    "calibrated": ("#2a9d8f", "s", "-"),
    "analytic": ("#8ab17d", "s", "--"),
    "fixed_small": ("#999999", "v", "--"),
    "fixed_large": ("#555555", "^", "--"),
    "jacobian": ("#b79ced", "D", ":"),
    "ddim": ("#e9a03b", "o", "-"),
    "dpm++": ("#d1495b", "P", "-"),
    "dpm++sde": ("#f08a9b", "X", "-"),
    "unipc": ("#7a1f3d", "*", "-"),
}
NAMES = {
    "learned": "learned variance (the paper's)",
    "calibrated": "calibrated variance",
    "analytic": "analytic variance",
    "fixed_small": "fixed variance, $\\tilde\\beta$",
    "fixed_large": "fixed variance, $\\beta$",
    "jacobian": "Jacobian's variance (2 evaluations a step)",
    "ddim": "DDIM",
    "dpm++": "DPM-Solver++ 2M",
    "dpm++sde": "DPM-Solver++ 2M, SDE",
    "unipc": "UniPC",
}
MOST = {"fd": 100.0, "bits": 3.0}
"""Times the whole chain's value: what is worse is cut off."""
STRIDES = {
    "uniform": "evenly spaced steps",
    "ddim": "every n-th step",
    "quadratic": "quadratic steps",
    "planned": "planned steps",
}


def picture(rows: list[dict[str, Any]], title: str, longest: int) -> Image.Image:
    """FD (above) and bits/dim (below) against evaluations of the network, a column for each stride.

    rows: as `experiments.few_steps.Study.judge` gives them, with the whole chain's. longest: that chain's length, for
    which fewer steps may stand.
    """
    whole = next(row for row in rows if row["stride"] == "whole")
    strides = [stride for stride in STRIDES if any(row["stride"] == stride for row in rows)]
    figure = Figure(figsize=(max(6.4, 4.1 * len(strides)), 7.2), layout="constrained", dpi=110)
    stand_in = f"{whole['steps']} evenly spaced of all {longest:,} steps"
    what = f"the whole chain, {longest:,} steps" if whole["steps"] == longest else stand_in
    band = f"line and band: {what}, with the 95 % interval"
    limits = " and ".join(f"{MOST[key]:g} times that {name}" for key, name in (("fd", "FD"), ("bits", "bits/dim")))
    between = "\n" if len(strides) == 1 else "; "  # a single column is narrow
    figure.suptitle(f"{title}\n{band}{between}above {limits}, points are cut off", fontsize=10)
    panels = figure.subplots(2, len(strides), sharex=True, sharey="row", squeeze=False)
    for column, stride in enumerate(strides):
        for panel, key, value, label in (
            (panels[0, column], "fd", "value", "Frechet distance"),
            (panels[1, column], "bits", "mean", "bits/dim, held out"),
        ):
            _draw(panel, [row for row in rows if row["stride"] == stride], key, value)
            known = whole[key]
            panel.axhspan(
                known[value] - CONFIDENCE * known["error"],
                known[value] + CONFIDENCE * known["error"],
                color="#000",
                alpha=0.1,
                lw=0,
            )
            panel.axhline(known[value], color="#000", linewidth=0.8)
            if column == 0:
                panel.set_ylabel(label)
                bars = [(row[key][value], row[key]["error"]) for row in rows if row[key] is not None]
                bars.append((known[value], CONFIDENCE * known["error"]))
                # An interval that goes down to nothing would have no end on a logarithmic axis.
                least = max(min(max(each - wide, each / 4) for each, wide in bars), known[value] / MOST[key])
                most = min(max(each + wide for each, wide in bars), MOST[key] * known[value])
                panel.set_ylim(0.9 * least, 1.1 * most)
        panels[0, column].set_title(STRIDES[stride], fontsize=10)
        panels[1, column].set_xlabel("evaluations of the network for a sample")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)


def _draw(panel: Axes, rows: list[dict[str, Any]], key: str, value: str) -> None:
    ticks = sorted({row["evaluations"] for row in rows})
    drawn = [method for method in STYLES if any(row["method"] == method and row[key] is not None for row in rows)]
    for place, method in enumerate(drawn):
        colour, marker, line = STYLES[method]
        found = sorted(
            (row["evaluations"], row[key][value], row[key]["error"])
            for row in rows
            if row["method"] == method and row[key] is not None
        )
        counts, values, errors = zip(*found, strict=True)
        if len(ticks) == 1:  # side by side
            counts = (counts[0] * 1.02 ** (place - (len(drawn) - 1) / 2),)
        panel.errorbar(
            counts, values, errors, color=colour, marker=marker, linestyle=line, markersize=5, linewidth=1.2,
            elinewidth=0.7, label=NAMES[method],
        )  # fmt: skip
    panel.set(xscale="log", yscale="log", xlim=(ticks[0] / 1.25, ticks[-1] * 1.25))
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.minorticks_off()
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
