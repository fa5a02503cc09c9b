"""The paper's last figure: FD and bits/dim against training compute, for four widths, and a law that predicts one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Finding, Label, Measured, Outcome, Table, Verdict
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Bits, Judged
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import mean_and_error, plus_minus

LOOKS = (4, 2, 1)
"""Parts of the training after which is measured."""
SCORES = {"fd": ("frechet distance", 0.10), "bits": ("bits/dim", 0.01)}
"""What is predicted, and to within which share."""
FEWEST = 4000
"""Samples of an FD that a law is told from: of 1,000 it has an error of a third on digits, and a law multiplies it."""
RESAMPLES = 200
EXPONENTS = np.geomspace(0.01, 3.0, 40)
"""Of laws, to begin with: each within 16 % of the next."""
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
        compute = np.array(list(flops.values()))
        laws, findings = {}, []
        for score in SCORES:
            known = np.array([values(measured, score, width) for width in scale.widths])
            laws[score] = fit(compute[:-1], known[:-1])
            findings.append(_predicted(score, scale.widths[-1], compute, known))
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
            f"The data is {scale.widened.data.source}, the widths are {', '.join(map(str, scale.widths))}; the paper's"
            " are 64, 96, 128 and 192, on ImageNet 64x64.",
            "The law is value = a + b C^-c in training FLOPs C (counted), by least squares, of the seeds' means at the"
            " end of training; points of earlier checkpoints, whose learning rate has not fallen yet, are drawn, not"
            " fitted.",
            f"By how much the law is off is told with the interval of {RESAMPLES} resamples of the seeds (95 %); a"
            " finding holds where all of it is within, and does not hold where all of it is beyond.",
        ]
        return Outcome([Table("At the end of training", header, rows)], findings, _figure(measured, flops, laws), notes)


def _predicted(score: str, width: int, compute: NDArray[np.float64], known: NDArray[np.float64]) -> Finding:
    """Whether the law of all widths but the last, `known[width, seed]`, tells the last one's value."""
    name, share = SCORES[score]

    def off_by(seeds: NDArray[np.int64]) -> tuple[Law, float, float]:
        law = fit(compute[:-1], known[:-1, seeds])
        predicted = float(law(compute[-1:])[0])
        return law, predicted, predicted / float(known[-1, seeds].mean()) - 1

    seeds = np.arange(known.shape[1])
    law, predicted, off = off_by(seeds)
    random = np.random.default_rng(0)
    others = [off_by(random.choice(seeds, len(seeds)))[2] for _ in range(RESAMPLES if len(seeds) > 1 else 0)]
    low, high = np.quantile(others, [0.025, 0.975]) if others else (-math.inf, math.inf)
    verdict: Verdict = "undecided"
    if max(abs(low), abs(high)) <= share:
        verdict = "holds"
    elif low > share or high < -share:
        verdict = "does not hold"
    measured = plus_minus(*mean_and_error(known[-1].tolist()))
    between = f" ({low:+.1%} to {high:+.1%})" if others else " (one seed: no interval is known)"
    return Finding(
        f"{name} of {width} channels predicted within {share:.0%} by the law of the smaller widths",
        verdict,
        f"predicted {predicted:.4g}, measured {measured}: off by {off:+.1%}{between}; law: {law}",
    )


def rate(scale: Scale, width: int) -> float:
    """In proportion to 1 / sqrt(width)."""
    return scale.widened.training.learning_rate * math.sqrt(scale.widened.network.channels / width)


def _run(scale: Scale, width: int, seed: int) -> DiffusionRun:
    config = varied(scale.widened, channels=width, learning_rate=rate(scale, width), seed=seed)
    training = config.training.model_copy(
        update={
            "checkpoint_every": max(1, config.training.steps // LOOKS[0]),
            "keep_checkpoints": LOOKS[0] + 1,
        }
    )
    return DiffusionRun(config.model_copy(update={"training": training}))


def measures(scale: Scale) -> tuple[Bits | Judged, ...]:
    """FD and bits/dim after each part of the training."""
    steps = scale.widened.training.steps
    found: list[Bits | Judged] = []
    for part in LOOKS:
        step = None if part == 1 else steps // LOOKS[0] * (LOOKS[0] // part)
        found.append(Bits(f"bits, 1/{part}", scale.items, scale.error, step=step))
        count = max(FEWEST, scale.samples) if part == 1 else scale.samples
        found.append(Judged(f"fd, 1/{part}", count, scale.sampling_steps, step=step))
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


def fit(compute: NDArray[np.float64], known: NDArray[np.float64]) -> Law:
    """The law with a, b >= 0 whose relative errors are least, in the mean square; `known` is `[compute, seeds]`.

    They are relative to a mean over seeds: relative to each value alone, low values would weigh most, and the law would
    lie below all means.
    """
    unit = float(np.exp(np.mean(np.log(compute))))
    x, y = compute / unit, known.mean(axis=1)

    def best(c: float) -> tuple[NDArray[np.float64], float]:
        """a and b for this exponent, and the root of their squared relative errors."""
        factors, residual = nnls(np.stack([1 / y, x**-c / y], axis=1), np.ones_like(y))
        return factors, float(residual)

    coarse = min(EXPONENTS, key=lambda c: best(float(c))[1])
    between = (max(EXPONENTS[0], coarse / 1.3), min(EXPONENTS[-1], coarse * 1.3))
    c = float(minimize_scalar(lambda c: best(c)[1], bounds=between, method="bounded", options={"xatol": 1e-6}).x)
    a, b = best(c)[0]
    return Law(float(a), float(b), c, unit)


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
    figure.axes[1].legend(frameon=False, fontsize=8)
    return figure
