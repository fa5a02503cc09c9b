"""The sampling-speed figures: FD against the number of steps, for every objective and sampler."""

from __future__ import annotations

from itertools import product

from matplotlib.figure import Figure

from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import BLUE, DARK_GREY, GREY, ORANGE, panels, tidy
from iddpm.experiments.measures import Judged
from iddpm.experiments.paper.ablation import OBJECTIVES, cell
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import lower, mean_and_error, mean_text, over_settings

COUNTS = {
    "tiny": (5, 10, 25, 50, 100, 250),
    "small": (10, 25, 50, 100, 250, 1000),
    "paper": (25, 50, 100, 200, 400, 1000, 4000),
}
"""Numbers of steps by scale."""
CURVES = {
    "L_simple, smaller variance": ("L_simple", "ancestral", "fixed_small"),
    "L_simple, larger variance": ("L_simple", "ancestral", "fixed_large"),
    "L_simple, DDIM": ("L_simple", "ddim", None),
    "L_hybrid": ("L_hybrid", "ancestral", None),
    "L_hybrid, DDIM": ("L_hybrid", "ddim", None),
    "L_vlb": ("L_vlb", "ancestral", None),
}
"""Objective, sampler, and variance if not the network's own."""
STYLES = {
    "L_simple, smaller variance": (GREY, "v", "--"),
    "L_simple, larger variance": (DARK_GREY, "^", "--"),
    "L_simple, DDIM": (GREY, "o", ":"),
    "L_hybrid": (BLUE, "o", "-"),
    "L_hybrid, DDIM": (BLUE, "s", ":"),
    "L_vlb": (ORANGE, "D", "-"),
}
Distances = dict[tuple[str, int], list[float]]
"""FD of all seeds by curve and number of steps."""


class SamplingSpeed(Experiment):
    """L_simple with both fixed variances, L_hybrid, L_vlb, and DDIM."""

    title = "Sampling speed"
    paper = "Figures 8 and 9"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        cells = []
        for seed, objective in product(range(seeds), OBJECTIVES):
            run = cell(scale, "cosine", scale.base.diffusion.num_timesteps, objective, seed)
            measures = tuple(
                Judged(in_steps(curve, count), scale.samples, str(count), sampler=sampler, variance=variance)
                for curve, (trained, sampler, variance) in CURVES.items()
                if trained == objective
                for count in COUNTS[scale.name]
            )
            cells.append(Cell(run.labels, run.subject, measures))
        return cells

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        counts = COUNTS[scale.name]
        few, middle, first, last = counts[:3], counts[3], counts[0], counts[-1]
        distances: Distances = {
            (curve, count): over_seeds(measured, in_steps(curve, count), "frechet", "value", objective=CURVES[curve][0])
            for curve, count in product(CURVES, counts)
        }
        smaller, larger = list(CURVES)[:2]
        fixed = {count: list(map(min, distances[smaller, count], distances[larger, count])) for count in counts}
        hybrid = {count: distances["L_hybrid", count] for count in counts}
        findings = [
            lower(
                f"L_hybrid in {', '.join(map(str, few))} steps below L_simple with the better of its fixed variances",
                *over_settings((hybrid[count], fixed[count]) for count in few),
            ),
            lower(
                f"L_hybrid in {middle} steps within 10 % of its {last} steps",
                hybrid[middle],
                [1.1 * distance for distance in hybrid[last]],
            ),
            lower(
                f"DDIM in {first} steps below L_hybrid's own sampling",
                distances["L_simple, DDIM", first],
                hybrid[first],
            ),
            lower(f"L_hybrid in {last} steps below DDIM", hybrid[last], distances["L_simple, DDIM", last]),
            lower(f"L_hybrid in {last} steps below L_vlb", hybrid[last], distances["L_vlb", last]),
        ]
        rows = [[curve, *(mean_text(distances[curve, count]) for count in counts)] for curve in CURVES]
        table = Table("FD by number of steps", ["trained with", *map(str, counts)], rows)
        length = scale.base.diffusion.num_timesteps
        notes = [
            f"FD is of {scale.samples:,} samples in evenly spaced steps of a chain of {length:,}, cosine schedule."
        ]
        return Outcome([table], findings, _figure(distances, counts), notes)


def in_steps(curve: str, count: int) -> str:
    """Return the label of the measure."""
    return f"{curve}, {count} steps"


def _figure(distances: Distances, counts: tuple[int, ...]) -> Figure:
    figure, (axes,) = panels(1, 6.5, 4.6)
    for curve, (colour, marker, line) in STYLES.items():
        means, errors = zip(*(mean_and_error(distances[curve, count]) for count in counts), strict=True)
        axes.errorbar(counts, means, errors, color=colour, marker=marker, linestyle=line, markersize=4, label=curve)
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="Frechet distance")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    tidy(axes)
    return figure
