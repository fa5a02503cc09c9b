"""The paper's last figure: FD and bits/dim against training compute, for four widths, and a law that predicts one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import least_squares

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Finding, Label, Measured, Outcome, Table
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Bits, Judged
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import mean_and_error, plus_minus

LOOKS = (4, 2, 1)
"""Parts of the training after which is measured."""
SCORES = {"fd": ("frechet distance", 0.10), "bits": ("bits/dim", 0.01)}
"""What is predicted, and to within which share."""
COLOURS = ("#9ecae1", "#4292c6", "#2171b5", "#d9822b")


class Scaling(Experiment):
    """Wider networks, with the learning rate in proportion to 1 / sqrt(width)."""

    name = "scaling"
    title = "Scaling"
    paper = "Figure 10"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        return [
            Cell({"channels": width, "seed": seed}, _run(scale, width, seed), measures(scale))
            for seed in range(seeds)
            for width in scale.widths
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        flops = {width: _run(scale, width, 0).flops() for width in scale.widths}
        *fitted, held_out = scale.widths
        findings, laws = [], {}
        for score, (name, share) in SCORES.items():
            compute = [flops[width] for width in fitted for _ in values(measured, score, width)]
            known = [value for width in fitted for value in values(measured, score, width)]
            law = laws[score] = fit(compute, known)
            predicted = float(law(np.array([flops[held_out]]))[0])
            mean, error = mean_and_error(values(measured, score, held_out))
            off = abs(predicted / mean - 1)
            findings.append(
                Finding(
                    f"{name} of {held_out} channels predicted within {share:.0%} by the law of the smaller widths",
                    "holds" if off <= share else "does not hold",
                    f"predicted {predicted:.4g}, measured {plus_minus(mean, error)}: off by {off:.1%}; law: {law}",
                )
            )
        rows = [
            [
                str(width),
                f"{flops[width] / 1e12:.3g}",
                *(plus_minus(*mean_and_error(values(measured, score, width))) for score in SCORES),
                f"{rate(scale, width):.2g}",
            ]
            for width in scale.widths
        ]
        header = ["channels", "training, TFLOP", "FD", "bits/dim", "learning rate"]
        notes = [
            f"Widths {', '.join(map(str, scale.widths))}; the paper's are 64, 96, 128 and 192 on ImageNet 64x64.",
            "The law is value = a + b C^-c in training FLOPs C (counted), by least squares over all seeds at the end of"
            " training; points of earlier checkpoints are drawn, not fitted.",
        ]
        return Outcome([Table("At the end of training", header, rows)], findings, _figure(measured, flops, laws), notes)


def rate(scale: Scale, width: int) -> float:
    """In proportion to 1 / sqrt(width)."""
    return scale.base.training.learning_rate * math.sqrt(scale.base.network.channels / width)


def _run(scale: Scale, width: int, seed: int) -> DiffusionRun:
    config = varied(scale.base, channels=width, learning_rate=rate(scale, width), seed=seed)
    training = config.training.model_copy(
        update={
            "checkpoint_every": max(1, config.training.steps // LOOKS[0]),
            "keep_checkpoints": LOOKS[0] + 1,
            "decay": False,
        }
    )
    return DiffusionRun(config.model_copy(update={"training": training}))


def measures(scale: Scale) -> tuple[Bits | Judged, ...]:
    """FD and bits/dim after each part of the training."""
    found: list[Bits | Judged] = []
    for part in LOOKS:
        step = None if part == 1 else scale.base.training.steps // LOOKS[0] * (LOOKS[0] // part)
        found.append(Bits(f"bits, 1/{part}", scale.items, scale.error, step=step))
        found.append(Judged(f"fd, 1/{part}", scale.samples, scale.sampling_steps, step=step))
    return tuple(found)


def values(measured: list[Measured], score: str, width: Label, part: int = 1) -> list[float]:
    """Of all seeds."""
    found = [each.found[f"{score}, 1/{part}"] for each in measured if each.labels["channels"] == width]
    return [float(each["frechet"]["value"] if score == "fd" else each["bits"]) for each in found]


@dataclass(frozen=True)
class Law:
    """value = a + b (C / unit)^-c."""

    a: float
    b: float
    c: float
    unit: float

    def __call__(self, compute: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.a + self.b * (compute / self.unit) ** -self.c
        return found

    def __str__(self) -> str:
        return f"{self.a:.4g} + {self.b:.3g} (C / {self.unit:.2g})^-{self.c:.3g}"


def fit(compute: Sequence[float], known: Sequence[float]) -> Law:
    """The law with a >= 0 whose relative errors are least, in the mean square."""
    unit = float(np.exp(np.mean(np.log(compute))))
    x, y = np.array(compute) / unit, np.array(known)

    def off(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b, c = parameters
        found: NDArray[np.float64] = (a + b * x**-c) / y - 1
        return found

    low, high = [0.0, 0.0, 0.01], [float(y.min()), float(y.max()), 3.0]
    starts = [[share * y.min(), y.max() - share * y.min(), c] for share in (0.1, 0.5, 0.9) for c in (0.2, 0.5, 1.0)]
    tried = [least_squares(off, np.clip(start, low, high), bounds=(low, high)) for start in starts]
    a, b, c = min(tried, key=lambda each: float(each.cost)).x
    return replace(Law(0, 0, 0, unit), a=float(a), b=float(b), c=float(c))


def _figure(measured: list[Measured], flops: dict[int, int], laws: dict[str, Law]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=110)
    for axes, (score, (name, _)) in zip(figure.subplots(1, 2), SCORES.items(), strict=True):
        for (width, cost), colour in zip(flops.items(), COLOURS, strict=True):
            means, errors = zip(*(mean_and_error(values(measured, score, width, part)) for part in LOOKS), strict=True)
            axes.errorbar([cost / part for part in LOOKS], means, errors, color=colour, marker="o", markersize=4,
                          label=f"{width} channels")  # fmt: skip
        line = np.geomspace(min(flops.values()), max(flops.values()), 50)
        axes.plot(line, laws[score](line), "--", color="#333333", linewidth=0.9, label="law of the smaller three")
        axes.set(xscale="log", yscale="log", xlabel="training compute, FLOP", ylabel=name)
        tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure
