"""The paper's last figure: FD and bits/dim against training compute, for four widths, and a law that predicts one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Finding, Measured, Outcome, Table, Verdict, over_seeds
from iddpm.experiments.figures import ORANGE, panels, tidy
from iddpm.experiments.measures import Bits, Judged
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import mean_and_error, mean_text

LOOKS = (4, 2, 1)
"""Parts of the training, one half and so on, after which is measured."""
SCORES = {"fd": ("frechet distance", 0.10), "bits": ("bits/dim", 0.01)}
"""Names of what is predicted, and the share to within which it is."""
FEWEST = 4000
"""Samples per FD in the fit. With 1,000 the error is a third (digits), and extrapolation amplifies it."""
RESAMPLES = 200
"""Draws of the seeds, with replacement, for an interval."""
EXPONENTS = np.geomspace(0.01, 3.0, 40)
"""Exponents that a fit begins with: each within 16 % of the next."""
COLOURS = ("#9ecae1", "#4292c6", "#2171b5", ORANGE)


class Scaling(Experiment):
    """Wider networks, with the learning rate in proportion to 1 / sqrt(width)."""

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
            scores = np.array([values(measured, score, width) for width in scale.widths])
            laws[score] = fit(compute[:-1], scores[:-1])
            findings.append(_predicted(score, scale.widths[-1], compute, scores))
        rows = [
            [
                str(width),
                f"{flops[width] / 1e12:.3g}",
                *(mean_text(values(measured, score, width)) for score in SCORES),
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


def _predicted(score: str, width: int, compute: NDArray[np.float64], scores: NDArray[np.float64]) -> Finding:
    """Test whether the law of all widths but the last, of `scores[width, seed]`, predicts the last one's."""
    name, share = SCORES[score]

    def off_by(seeds: NDArray[np.int64]) -> tuple[Law, float, float]:
        law = fit(compute[:-1], scores[:-1, seeds])
        predicted = float(law(compute[-1:])[0])
        return law, predicted, predicted / float(scores[-1, seeds].mean()) - 1

    seeds = np.arange(scores.shape[1])
    law, predicted, off = off_by(seeds)
    random = np.random.default_rng(0)
    others = [off_by(random.choice(seeds, len(seeds)))[2] for _ in range(RESAMPLES if len(seeds) > 1 else 0)]
    low, high = np.quantile(others, [0.025, 0.975]) if others else (-math.inf, math.inf)
    verdict: Verdict = "undecided"
    if max(abs(low), abs(high)) <= share:
        verdict = "holds"
    elif low > share or high < -share:
        verdict = "does not hold"
    measured = mean_text(scores[-1].tolist())
    between = f" ({low:+.1%} to {high:+.1%})" if others else " (one seed: no interval is known)"
    return Finding(
        f"{name} of {width} channels predicted within {share:.0%} by the law of the smaller widths",
        verdict,
        f"predicted {predicted:.4g}, measured {measured}: off by {off:+.1%}{between}; law: {law}",
    )


def rate(scale: Scale, width: int) -> float:
    """Return the learning rate, in proportion to 1 / sqrt(width)."""
    return scale.widened.training.learning_rate * math.sqrt(scale.widened.network.channels / width)


def _run(scale: Scale, width: int, seed: int) -> DiffusionRun:
    config = varied(scale.widened, channels=width, learning_rate=rate(scale, width), seed=seed)
    every = max(1, config.training.steps // LOOKS[0])
    return DiffusionRun(config.with_changes(training={"checkpoint_every": every, "keep_checkpoints": LOOKS[0] + 1}))


def measures(scale: Scale) -> tuple[Bits | Judged, ...]:
    """Return the measures of FD and bits/dim after each part of the training."""
    steps = scale.widened.training.steps
    parts: list[Bits | Judged] = []
    for part in LOOKS:
        step = None if part == 1 else steps // LOOKS[0] * (LOOKS[0] // part)
        parts.append(Bits(f"bits, 1/{part}", scale.items, scale.error, step=step))
        count = max(FEWEST, scale.samples) if part == 1 else scale.samples
        parts.append(Judged(f"fd, 1/{part}", count, scale.sampling_steps, step=step))
    return tuple(parts)


def values(measured: list[Measured], score: str, width: int, part: int = 1) -> list[float]:
    """Return the scores of all seeds."""
    path = ("frechet", "value") if score == "fd" else ("bits",)
    return over_seeds(measured, f"{score}, 1/{part}", *path, channels=width)


@dataclass(frozen=True)
class Law:
    """A power law: value = a + b (C / unit)^-c."""

    a: float
    b: float
    c: float
    unit: float

    def __call__(self, compute: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = self.a + self.b * (compute / self.unit) ** -self.c
        return values

    def __str__(self) -> str:
        return f"{self.a:.4g} + {self.b:.3g} (C / {self.unit:.2g})^-{self.c:.3g}"


def fit(compute: NDArray[np.float64], scores: NDArray[np.float64]) -> Law:
    """Return the law with a, b >= 0 whose relative errors are least in the mean square; `scores` is `[compute, seeds]`.

    They are relative to a mean over seeds: relative to each value alone, low values would weigh most, and the law would
    lie below all means.
    """
    unit = float(np.exp(np.mean(np.log(compute))))
    x, y = compute / unit, scores.mean(axis=1)

    def best(c: float) -> tuple[NDArray[np.float64], float]:
        """Return a and b for this exponent, and the root of their squared relative errors."""
        factors, residual = nnls(np.stack([1 / y, x**-c / y], axis=1), np.ones_like(y))
        return factors, float(residual)

    coarse = min(EXPONENTS, key=lambda c: best(float(c))[1])
    between = (max(EXPONENTS[0], coarse / 1.3), min(EXPONENTS[-1], coarse * 1.3))
    c = float(minimize_scalar(lambda c: best(c)[1], bounds=between, method="bounded", options={"xatol": 1e-6}).x)
    a, b = best(c)[0]
    return Law(float(a), float(b), c, unit)


def _figure(measured: list[Measured], flops: dict[int, int], laws: dict[str, Law]) -> Figure:
    figure, both = panels(2)
    for axes, (score, (name, _)) in zip(both, SCORES.items(), strict=True):
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
