"""The linear and the cosine schedule: alpha-bar against t, and FD when the chain's noisy end is skipped."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from iddpm.diffusion import cosine_schedule, linear_schedule
from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import SCHEDULE_COLOURS, panels, tidy
from iddpm.experiments.measures import Judged
from iddpm.experiments.paper.ablation import SCHEDULES, cell
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import lower, mean_and_error, mean_text

SKIPPED = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Shares of the chain, from its noisy end, that samples do without."""
TOLD = 0.2
"""The share of the finding: the paper skips a fifth of the linear chain without harm."""
Distances = dict[tuple[str, float], list[float]]
"""FD of all seeds by schedule and skipped share."""


class Schedules(Experiment):
    """Linear and cosine."""

    title = "Schedules"
    paper = "Figures 3 to 5"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        length = scale.base.diffusion.num_timesteps
        count = int(scale.sampling_steps)
        measures = tuple(Judged(skipping(share), scale.samples, kept(length, count, share)) for share in SKIPPED)
        runs = (cell(scale, schedule, length, "L_hybrid", seed) for seed in range(seeds) for schedule in SCHEDULES)
        return [Cell(run.labels, run.subject, measures) for run in runs]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        distances: Distances = {
            (schedule, share): over_seeds(measured, skipping(share), "frechet", "value", schedule=schedule)
            for schedule, share in product(SCHEDULES, SKIPPED)
        }
        rises = {
            schedule: [
                math.log(skipped / whole)
                for skipped, whole in zip(distances[schedule, TOLD], distances[schedule, 0.0], strict=True)
            ]
            for schedule in SCHEDULES
        }
        finding = lower(
            f"skipping {TOLD:.0%} of the chain raises FD less with the linear schedule (logarithm of the ratio)",
            rises["linear"],
            rises["cosine"],
        )
        rows = [[schedule, *(mean_text(distances[schedule, share]) for share in SKIPPED)] for schedule in SCHEDULES]
        header = ["schedule", *(f"{share:.0%} skipped" for share in SKIPPED)]
        notes = [f"FD is of {scale.samples:,} samples in {scale.sampling_steps} evenly spaced steps of what is left."]
        return Outcome([Table("FD", header, rows)], [finding], _figure(scale, distances), notes)


def skipping(share: float) -> str:
    """Return the label of the measure."""
    return f"fd, {share:.0%} skipped"


def kept(length: int, count: int, share: float) -> tuple[int, ...]:
    """Return `count` evenly spaced timesteps of those that are left."""
    last = round((1 - share) * (length - 1))
    return tuple(sorted({round(step) for step in np.linspace(0, last, min(count, last + 1))}))


def _figure(scale: Scale, distances: Distances) -> Figure:
    figure, (left, right) = panels(2, height=3.4)
    length = scale.base.diffusion.num_timesteps
    for schedule, chain in (("linear", linear_schedule(length)), ("cosine", cosine_schedule(length))):
        left.plot(np.arange(length) / length, chain.alpha_bar.numpy(), color=SCHEDULE_COLOURS[schedule], label=schedule)
        means, errors = zip(*(mean_and_error(distances[schedule, share]) for share in SKIPPED), strict=True)
        right.errorbar(SKIPPED, means, errors, color=SCHEDULE_COLOURS[schedule], marker="o", label=schedule)
    left.set(xlabel="t / T", ylabel=r"$\bar\alpha_t$")
    right.set(xlabel="share of the noisy end skipped", ylabel="Frechet distance", yscale="log")
    for axes in (left, right):
        axes.legend(frameon=False)
    tidy(left, right)
    return figure
