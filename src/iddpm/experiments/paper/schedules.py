"""The linear and the cosine schedule: alpha-bar against t, and FD when the chain's noisy end is skipped."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from iddpm.diffusion import cosine_schedule, linear_schedule
from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table
from iddpm.experiments.figures import SCHEDULE_COLOURS, tidy
from iddpm.experiments.measures import Judged
from iddpm.experiments.paper.ablation import SCHEDULES, cell
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import lower, mean_and_error, plus_minus

SKIPPED = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Shares of the chain, from its noisy end, that samples do without."""
TOLD = 0.2
"""The share of the finding: the paper skips a fifth of the linear chain without harm."""


class Schedules(Experiment):
    """Linear and cosine."""

    name = "schedules"
    title = "Schedules"
    paper = "Figures 3 to 5"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        length = scale.base.diffusion.num_timesteps
        count = int(scale.sampling_steps)
        measures = tuple(Judged(skipping(share), scale.samples, kept(length, count, share)) for share in SKIPPED)
        return [
            Cell(made.labels, made.subject, measures)
            for seed, schedule in product(range(seeds), SCHEDULES)
            for made in [cell(scale, schedule, length, "L_hybrid", seed)]
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        found: dict[tuple[str, float], list[float]] = {
            (schedule, share): [
                float(each.found[skipping(share)]["frechet"]["value"])
                for each in measured
                if each.labels["schedule"] == schedule
            ]
            for schedule, share in product(SCHEDULES, SKIPPED)
        }
        rises = {
            schedule: [
                math.log(skipped / whole)
                for skipped, whole in zip(found[schedule, TOLD], found[schedule, 0.0], strict=True)
            ]
            for schedule in SCHEDULES
        }
        finding = lower(
            f"skipping {TOLD:.0%} of the chain raises FD less with the linear schedule (logarithm of the ratio)",
            list(zip(rises["linear"], rises["cosine"], strict=True)),
        )
        rows = [
            [schedule, *(plus_minus(*mean_and_error(found[schedule, share])) for share in SKIPPED)]
            for schedule in SCHEDULES
        ]
        header = ["schedule", *(f"{share:.0%} skipped" for share in SKIPPED)]
        notes = [f"FD is of {scale.samples:,} samples in {scale.sampling_steps} evenly spaced steps of what is left."]
        return Outcome([Table("FD", header, rows)], [finding], _figure(scale, found), notes)


def skipping(share: float) -> str:
    """What the measure is called."""
    return f"fd, {share:.0%} skipped"


def kept(length: int, count: int, share: float) -> tuple[int, ...]:
    """`count` evenly spaced timesteps of those that are left."""
    last = round((1 - share) * (length - 1))
    return tuple(sorted({round(each) for each in np.linspace(0, last, min(count, last + 1))}))


def _figure(scale: Scale, found: dict[tuple[str, float], list[float]]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    length = scale.base.diffusion.num_timesteps
    for schedule, made in (("linear", linear_schedule(length)), ("cosine", cosine_schedule(length))):
        left.plot(np.arange(length) / length, made.alpha_bar.numpy(), color=SCHEDULE_COLOURS[schedule], label=schedule)
        means, errors = zip(*(mean_and_error(found[schedule, share]) for share in SKIPPED), strict=True)
        right.errorbar(SKIPPED, means, errors, color=SCHEDULE_COLOURS[schedule], marker="o", label=schedule)
    left.set(xlabel="t / T", ylabel=r"$\bar\alpha_t$")
    right.set(xlabel="share of the noisy end skipped", ylabel="Frechet distance", yscale="log")
    for axes in (left, right):
        axes.legend(frameon=False)
    tidy(left, right)
    return figure
