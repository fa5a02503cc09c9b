"""The sampling-speed figures: FD against the number of steps, for every objective and sampler."""

from __future__ import annotations

from itertools import product

from matplotlib.figure import Figure

from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Judged
from iddpm.experiments.names import ScaleName
from iddpm.experiments.paper.ablation import cell
from iddpm.experiments.scales import ObjectiveName, Scale
from iddpm.experiments.verdicts import lower, mean_and_error, over_settings, plus_minus

COUNTS: dict[ScaleName, tuple[int, ...]] = {
    "tiny": (5, 10, 25, 50, 100, 250),
    "small": (10, 25, 50, 100, 250, 1000),
    "paper": (25, 50, 100, 200, 400, 1000, 4000),
}
CURVES: dict[str, tuple[ObjectiveName, str, str | None]] = {
    "L_simple, smaller variance": ("L_simple", "ancestral", "fixed_small"),
    "L_simple, larger variance": ("L_simple", "ancestral", "fixed_large"),
    "L_simple, DDIM": ("L_simple", "ddim", None),
    "L_hybrid": ("L_hybrid", "ancestral", None),
    "L_hybrid, DDIM": ("L_hybrid", "ddim", None),
    "L_vlb": ("L_vlb", "ancestral", None),
}
STYLES = {
    "L_simple, smaller variance": ("#999999", "v", "--"),
    "L_simple, larger variance": ("#555555", "^", "--"),
    "L_simple, DDIM": ("#999999", "o", ":"),
    "L_hybrid": ("#2a6fbb", "o", "-"),
    "L_hybrid, DDIM": ("#2a6fbb", "s", ":"),
    "L_vlb": ("#d9822b", "D", "-"),
}


class Steps(Experiment):
    """L_simple with both fixed variances, L_hybrid, L_vlb, and DDIM."""

    name = "steps"
    title = "Sampling speed"
    paper = "Figures 8 and 9"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        length = scale.base.diffusion.num_timesteps
        objectives: tuple[ObjectiveName, ...] = ("L_simple", "L_hybrid", "L_vlb")
        found = []
        for seed, objective in product(range(seeds), objectives):
            made = cell(scale, "cosine", length, objective, seed)
            measures = tuple(
                Judged(called(curve, count), scale.samples, str(count), sampler=sampler, variance=variance)
                for curve, (trained, sampler, variance) in CURVES.items()
                if trained == objective
                for count in COUNTS[scale.name]
            )
            found.append(Cell(made.labels, made.subject, measures))
        return found

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        counts = COUNTS[scale.name]
        found = {
            (curve, count): [
                float(each.found[called(curve, count)]["frechet"]["value"])
                for each in measured
                if each.labels["objective"] == CURVES[curve][0]
            ]
            for curve, count in product(CURVES, counts)
        }
        few = counts[:3]
        fixed = {
            count: [min(pair) for pair in zip(*(found[each, count] for each in list(CURVES)[:2]), strict=True)]
            for count in counts
        }
        findings = [
            lower(
                f"L_hybrid in {', '.join(map(str, few))} steps below L_simple with the better of its fixed variances",
                over_settings([list(zip(found["L_hybrid", count], fixed[count], strict=True)) for count in few]),
            ),
            lower(
                f"L_hybrid in {counts[3]} steps within 10 % of its {counts[-1]} steps",
                [
                    (a, 1.1 * b)
                    for a, b in zip(found["L_hybrid", counts[3]], found["L_hybrid", counts[-1]], strict=True)
                ],
            ),
            lower(
                f"DDIM in {counts[0]} steps below L_hybrid's own sampling",
                list(zip(found["L_simple, DDIM", counts[0]], found["L_hybrid", counts[0]], strict=True)),
            ),
            lower(
                f"L_hybrid in {counts[-1]} steps below DDIM",
                list(zip(found["L_hybrid", counts[-1]], found["L_simple, DDIM", counts[-1]], strict=True)),
            ),
            lower(
                f"L_hybrid in {counts[-1]} steps below L_vlb",
                list(zip(found["L_hybrid", counts[-1]], found["L_vlb", counts[-1]], strict=True)),
            ),
        ]
        rows = [[curve, *(plus_minus(*mean_and_error(found[curve, count])) for count in counts)] for curve in CURVES]
        table = Table("FD by number of steps", ["trained with", *map(str, counts)], rows)
        notes = [f"FD is of {scale.samples:,} samples in evenly spaced steps of a chain of 4,000, cosine schedule."]
        return Outcome([table], findings, _figure(found, counts), notes)


def called(curve: str, count: int) -> str:
    """What the measure is called."""
    return f"{curve}, {count} steps"


def _figure(found: dict[tuple[str, int], list[float]], counts: tuple[int, ...]) -> Figure:
    figure = Figure(figsize=(6.5, 4.6), layout="constrained", dpi=110)
    axes = figure.subplots()
    for curve, (colour, marker, line) in STYLES.items():
        means, errors = zip(*(mean_and_error(found[curve, count]) for count in counts), strict=True)
        axes.errorbar(counts, means, errors, color=colour, marker=marker, linestyle=line, markersize=4, label=curve)
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="Frechet distance")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    tidy(axes)
    return figure
