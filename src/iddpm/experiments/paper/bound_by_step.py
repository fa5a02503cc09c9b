"""Figures 1 and 2: where on the chain the bound lies, and what the posterior's variance is of beta."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from iddpm.diffusion import cosine_schedule
from iddpm.experiments.experiment import Cell, Experiment, Finding, Measured, Outcome, Table
from iddpm.experiments.figures import SCHEDULE_COLOURS, tidy
from iddpm.experiments.measures import Terms
from iddpm.experiments.paper.ablation import SCHEDULES, cell
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import mean_and_error, plus_minus

ITEMS = 64
FIRST = (0.001, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Shares of the chain, from the data's end."""
TOLD = 0.05
LENGTHS = (100, 1000, 10_000)
"""Of the chains whose variances are drawn, as in the paper."""


class BoundByStep(Experiment):
    """The terms of L_hybrid's bound."""

    name = "bound-by-step"
    title = "The bound, step by step"
    paper = "Figures 1 and 2"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        length = scale.base.diffusion.num_timesteps
        found = [cell(scale, schedule, length, "L_hybrid", seed) for seed in range(seeds) for schedule in SCHEDULES]
        return [Cell(each.labels, each.subject, (Terms("terms", ITEMS),)) for each in found]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        shares = {
            schedule: np.array(
                [first_shares(each.found["terms"]["terms"]) for each in measured if each.labels["schedule"] == schedule]
            )
            for schedule in SCHEDULES
        }
        rows = [
            [schedule, *(plus_minus(*mean_and_error((100 * column).tolist())) for column in found.T)]
            for schedule, found in shares.items()
        ]
        table = Table(
            "Per cent of the bound in the first steps", ["schedule", *(f"{each:.1%}" for each in FIRST)], rows
        )
        column = FIRST.index(TOLD)
        least = min(float(found[:, column].min()) for found in shares.values())
        dominate = Finding(
            f"the first {TOLD:.0%} of the steps hold more than half of the bound",
            "holds" if least > 0.5 else "does not hold",
            f"at least {least:.0%} in each of {len(measured)} runs",
        )
        chain = cosine_schedule(LENGTHS[1])
        ratio = (chain.posterior_variance / chain.betas)[LENGTHS[1] // 20 :]
        alike = Finding(
            "the posterior's variance and beta are nearly the same but for the first steps",
            "holds" if float(ratio.min()) > 0.95 else "does not hold",
            f"ratio at least {float(ratio.min()):.3f} beyond the first 5 % of {LENGTHS[1]:,} steps (closed form)",
        )
        notes = [f"Terms are means over {ITEMS} held-out items, all steps of the chain, with the learned variances."]
        return Outcome([table], [dominate, alike], _figure(measured), notes)


def first_shares(terms: list[float]) -> list[float]:
    """How much of the sum lies in the first shares of the chain."""
    sums = np.cumsum(terms) / np.sum(terms)
    return [float(sums[max(0, round(share * len(terms)) - 1)]) for share in FIRST]


def _figure(measured: list[Measured]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    for each in measured:
        schedule, found = str(each.labels["schedule"]), each.found["terms"]
        label = schedule if each.labels["seed"] == 0 else None
        steps = np.array(found["timesteps"]) + 1
        left.plot(steps, np.maximum(found["terms"], 1e-9), color=SCHEDULE_COLOURS[schedule], linewidth=0.8, label=label)
    left.set(xscale="log", yscale="log", xlabel="diffusion step, t + 1", ylabel="term of the bound, bits/dim")
    for length, shade in zip(LENGTHS, ("#9ecae1", "#4292c6", "#084594"), strict=True):
        chain = cosine_schedule(length)
        ratio = (chain.posterior_variance / chain.betas)[1:]
        right.plot(np.arange(1, length) / length, ratio.numpy(), color=shade, label=f"T = {length:,}")
    right.set(xlabel="t / T", ylabel=r"$\tilde\beta_t / \beta_t$", xscale="log")
    for axes in (left, right):
        axes.legend(frameon=False)
    tidy(left, right)
    return figure
