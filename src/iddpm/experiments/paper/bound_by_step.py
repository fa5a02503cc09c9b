"""Figures 1 and 2: where on the chain the bound lies, and what the posterior's variance is of beta."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from iddpm.diffusion import cosine_schedule
from iddpm.experiments.experiment import Cell, Experiment, Finding, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import SCHEDULE_COLOURS, panels, tidy
from iddpm.experiments.measures import Terms
from iddpm.experiments.paper.ablation import SCHEDULES, cell
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import mean_text

ITEMS = 64
FIRST = (0.001, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Shares of the chain, from the data's end."""
TOLD = 0.05
"""The share of the finding."""
LENGTHS = (100, 1000, 10_000)
"""T of the chains whose variances are drawn, as in the paper."""


class BoundByStep(Experiment):
    """The terms of L_hybrid's bound."""

    title = "The bound, step by step"
    paper = "Figures 1 and 2"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        length = scale.base.diffusion.num_timesteps
        runs = [cell(scale, schedule, length, "L_hybrid", seed) for seed in range(seeds) for schedule in SCHEDULES]
        return [Cell(run.labels, run.subject, (Terms("terms", ITEMS),)) for run in runs]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        shares = {
            schedule: np.array(
                [first_shares(terms) for terms in over_seeds(measured, "terms", "terms", schedule=schedule)]
            )
            for schedule in SCHEDULES
        }
        rows = [
            [schedule, *(mean_text((100 * column).tolist()) for column in of_seeds.T)]
            for schedule, of_seeds in shares.items()
        ]
        table = Table(
            "Per cent of the bound in the first steps", ["schedule", *(f"{share:.1%}" for share in FIRST)], rows
        )
        least = min(float(of_seeds[:, FIRST.index(TOLD)].min()) for of_seeds in shares.values())
        dominate = Finding(
            f"the first {TOLD:.0%} of the steps hold more than half of the bound",
            "holds" if least > 0.5 else "does not hold",
            f"at least {least:.0%} in each of {len(measured)} runs",
        )
        notes = [f"Terms are means over {ITEMS} held-out items, all steps of the chain, with the learned variances."]
        return Outcome([table], [dominate, _variances(LENGTHS[1])], _figure(measured), notes)


def _variances(length: int) -> Finding:
    chain = cosine_schedule(length)
    ratio = float((chain.posterior_variance / chain.betas)[length // 20 :].min())
    return Finding(
        "the posterior's variance and beta are nearly the same but for the first steps",
        "holds" if ratio > 0.95 else "does not hold",
        f"ratio at least {ratio:.3f} beyond the first 5 % of {length:,} steps (closed form)",
    )


def first_shares(terms: list[float]) -> list[float]:
    """Return how much of the sum lies in each of the first shares of the chain."""
    sums = np.cumsum(terms) / np.sum(terms)
    return [float(sums[max(0, round(share * len(terms)) - 1)]) for share in FIRST]


def _figure(measured: list[Measured]) -> Figure:
    figure, (left, right) = panels(2, height=3.4)
    for run in measured:
        schedule, result = str(run.labels["schedule"]), run.results["terms"]
        label = schedule if run.labels["seed"] == 0 else None
        steps, terms = np.array(result["timesteps"]) + 1, np.maximum(result["terms"], 1e-9)
        left.plot(steps, terms, color=SCHEDULE_COLOURS[schedule], linewidth=0.8, label=label)
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
