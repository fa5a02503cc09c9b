"""The report's figures, as SVG text. Importing this changes nothing about other figures of the process."""

from __future__ import annotations

import io
from itertools import accumulate
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "iddpm",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
BLUE, ORANGE, GREY = "#2a6fbb", "#d9822b", "#777777"


@rc_context(STYLE)
def losses(records: list[dict[str, Any]]) -> str:
    """Draw L_simple and the bound during training, and held-out bits/dim."""
    trained = [record for record in records if "simple" in record]
    validated = [record for record in records if "validation_bits" in record]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    simple, bound = figure.subplots(1, 2)
    steps = [record["step"] for record in trained]
    simple.plot(steps, [record["simple"] for record in trained], color=BLUE, marker=".", markersize=3, label="all")
    for quarter, shade in enumerate((0.25, 0.45, 0.65, 0.85)):
        drawn = [record for record in trained if f"simple_q{quarter}" in record]
        values = [record[f"simple_q{quarter}"] for record in drawn]
        label = f"quarter {quarter + 1} of the chain"
        simple.plot([r["step"] for r in drawn], values, color=str(1 - shade), linewidth=0.9, label=label)
    simple.set(title="L_simple (training)", xlabel="step", yscale="log")
    simple.legend(fontsize=8, frameon=False)
    learned = [record for record in trained if "vlb" in record]
    bound.plot([r["step"] for r in learned], [r["vlb"] for r in learned], color=GREY, label="training, raw weights")
    bound.errorbar(
        [r["step"] for r in validated],
        [r["validation_bits"] for r in validated],
        [r["validation_error"] for r in validated],
        color=ORANGE,
        marker="o",
        markersize=4,
        label=f"held out, averaged weights, {validated[-1]['validation_steps']} steps" if validated else None,
    )
    bound.set(title="bound in bits/dim", xlabel="step", yscale="log")
    bound.legend(fontsize=8, frameon=False)
    return _svg(figure)


@rc_context(STYLE)
def terms(score: dict[str, Any]) -> str:
    """Draw each term of the bound against its timestep, and how they add up."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    single, summed = figure.subplots(1, 2)
    steps = score["timesteps"]
    single.errorbar(steps, score["terms"], score["term_errors"], color=BLUE, marker=".", markersize=4, linewidth=0.8)
    single.set(title="terms of the bound (0 is the decoder's)", xlabel="timestep t", ylabel="bits/dim")
    if all(term > 0 for term in score["terms"]):
        single.set_yscale("log")
    summed.plot(steps, list(accumulate(score["terms"])), color=BLUE)
    summed.axhline(score["total"]["mean"], color=GREY, linewidth=0.8)
    summed.set(title="summed from t = 0", xlabel="timestep t", ylabel="bits/dim", ylim=(0, None))
    return _svg(figure)


@rc_context(STYLE)
def steps_curve(scores: list[dict[str, Any]]) -> str:
    """Draw the bound against the number of steps."""
    figure = Figure(figsize=(4.5, 3), layout="constrained")
    axes = figure.subplots()
    scores = sorted(scores, key=lambda score: len(score["terms"]))
    counts = [len(score["terms"]) for score in scores]
    axes.errorbar(
        counts, [s["total"]["mean"] for s in scores], [s["total"]["error"] for s in scores], color=BLUE, marker="o"
    )
    axes.set(title="bound on fewer steps", xlabel="steps", ylabel="bits/dim", xscale="log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
