"""Tables 1 and 2: how T, the schedule and the objective change bits/dim and FD."""

from __future__ import annotations

from itertools import product
from typing import Literal

from matplotlib.figure import Figure

from iddpm.experiments.data import spec_of
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Label, Measured, Outcome, Table
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Bits, Judged
from iddpm.experiments.scales import ObjectiveName, Scale, varied
from iddpm.experiments.verdicts import lower, mean_and_error, over_settings, plus_minus

SCHEDULES: tuple[Literal["linear", "cosine"], ...] = ("linear", "cosine")
OBJECTIVES: tuple[ObjectiveName, ...] = ("L_simple", "L_hybrid", "L_vlb")
LENGTHS = (1000, 4000)
LENGTH, SCHEDULE, OBJECTIVE = range(3)
"""Places in the keys of runs."""
IMAGENET = {
    (1000, "linear", "L_simple"): (3.99, 32.5),
    (4000, "linear", "L_simple"): (3.77, 31.3),
    (4000, "linear", "L_hybrid"): (3.66, 32.2),
    (4000, "cosine", "L_simple"): (3.68, 27.0),
    (4000, "cosine", "L_hybrid"): (3.62, 28.0),
    (4000, "cosine", "L_vlb"): (3.57, 56.7),
}
"""Table 1: bits/dim and FID after 200,000 steps on ImageNet 64x64."""
CIFAR = {
    (1000, "linear", "L_simple"): (3.73, 3.29),
    (4000, "linear", "L_simple"): (3.37, 2.90),
    (4000, "linear", "L_hybrid"): (3.26, 3.07),
    (4000, "cosine", "L_simple"): (3.26, 3.05),
    (4000, "cosine", "L_hybrid"): (3.17, 3.19),
    (4000, "cosine", "L_vlb"): (2.94, 11.47),
}
"""Table 2: bits/dim and FID after 500,000 steps on CIFAR-10."""
COLOURS = {"L_simple": "#999999", "L_hybrid": "#2a6fbb", "L_vlb": "#d9822b"}


class Ablation(Experiment):
    """T 1,000 and 4,000, linear and cosine, L_simple, L_hybrid and L_vlb."""

    name = "ablation"
    title = "Schedule, objective and length of the chain"
    paper = "Tables 1 and 2"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        return [
            cell(scale, schedule, num_timesteps, objective, seed)
            for seed, num_timesteps, schedule, objective in product(range(seeds), LENGTHS, SCHEDULES, OBJECTIVES)
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        bits = {key_of(each.labels): bits_of(each) for each in measured}
        distances = {key_of(each.labels): each.found["fd"]["frechet"]["value"] for each in measured}
        short, long = LENGTHS
        claims: dict[str, tuple[dict[tuple[Label, ...], float], int, Label, Label]] = {
            "bits/dim: L_hybrid below L_simple": (bits, OBJECTIVE, "L_hybrid", "L_simple"),
            "bits/dim: L_vlb below L_hybrid": (bits, OBJECTIVE, "L_vlb", "L_hybrid"),
            "bits/dim: cosine below linear": (bits, SCHEDULE, "cosine", "linear"),
            f"bits/dim: T = {long:,} below T = {short:,}": (bits, LENGTH, long, short),
            "FD: cosine below linear": (distances, SCHEDULE, "cosine", "linear"),
            "FD: L_simple below L_hybrid": (distances, OBJECTIVE, "L_simple", "L_hybrid"),
            "FD: L_simple below L_vlb": (distances, OBJECTIVE, "L_simple", "L_vlb"),
            "FD: L_hybrid below L_vlb": (distances, OBJECTIVE, "L_hybrid", "L_vlb"),
        }
        found = {claim: pairs(*what) for claim, what in claims.items()}
        findings = [lower(claim, over_settings(by_setting.values())) for claim, by_setting in found.items()]
        tables = [_table(bits, distances), _by_setting(found)]
        return Outcome(tables, findings, _figure(bits, distances), _notes(scale))


def cell(
    scale: Scale, schedule: Literal["linear", "cosine"], num_timesteps: int, objective: ObjectiveName, seed: int
) -> Cell:
    """One run of the grid; other experiments share some of them."""
    config = varied(
        scale.base,
        schedule=schedule,
        num_timesteps=num_timesteps,
        objective=objective,
        timesteps=scale.vlb_timesteps if objective == "L_vlb" else None,
        seed=seed,
    )
    measures = [Bits("bits", scale.items, scale.error), Judged("fd", scale.samples, scale.sampling_steps)]
    if objective == "L_simple":  # it has learned no variance: it is scored with the better of the two fixed ones
        measures.append(Bits("bits, fixed_large", scale.items, scale.error, variance="fixed_large"))
    labels: dict[str, Label] = {"T": num_timesteps, "schedule": schedule, "objective": objective, "seed": seed}
    return Cell(labels, DiffusionRun(config), tuple(measures))


def bits_of(measured: Measured) -> float:
    """Bits/dim, with the better fixed variance where none is learned."""
    return min(float(found["bits"]) for name, found in measured.found.items() if name.startswith("bits"))


def key_of(labels: dict[str, Label]) -> tuple[Label, ...]:
    """What tells runs apart: T, schedule, objective, seed."""
    return tuple(labels.values())


def pairs(
    values: dict[tuple[Label, ...], float], place: int, low: Label, high: Label
) -> dict[str, list[tuple[float, float]]]:
    """Values of runs that differ in nothing but what stands at `place` of their keys: by the rest, a pair a seed."""
    found: dict[str, list[tuple[float, float]]] = {}
    for key, value in values.items():
        if key[place] == low:
            rest = (*key[:place], *key[place + 1 : -1])
            other = values[(*key[:place], high, *key[place + 1 :])]
            setting = ", ".join(f"T {each:,}" if isinstance(each, int) else str(each) for each in rest)
            found.setdefault(setting, []).append((value, other))
    return found


def _by_setting(found: dict[str, dict[str, list[tuple[float, float]]]]) -> Table:
    rows = [
        [finding.claim, setting, finding.verdict, finding.statistic]
        for claim, by_setting in found.items()
        for setting, of_seeds in by_setting.items()
        for finding in [lower(claim, of_seeds)]
    ]
    return Table("Setting by setting", ["finding", "at", "here", "statistic"], rows)


def _table(bits: dict[tuple[Label, ...], float], distances: dict[tuple[Label, ...], float]) -> Table:
    rows = []
    for num_timesteps, schedule, objective in product(LENGTHS, SCHEDULES, OBJECTIVES):
        key = (num_timesteps, schedule, objective)
        ours = [
            plus_minus(*mean_and_error([value for each, value in values.items() if each[:3] == key]))
            for values in (bits, distances)
        ]
        theirs = ["" if key not in paper else f"{paper[key][0]:.2f} / {paper[key][1]:g}" for paper in (CIFAR, IMAGENET)]
        rows.append([f"{num_timesteps:,}", schedule, objective, *ours, *theirs])
    header = ["T", "schedule", "objective", "bits/dim", "FD", "paper, CIFAR-10: bits/dim / FID", "ImageNet 64x64"]
    return Table("Means over seeds, with their standard errors", header, rows)


def _figure(bits: dict[tuple[Label, ...], float], distances: dict[tuple[Label, ...], float]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=110)
    for axes, values, name in zip(
        figure.subplots(1, 2), (bits, distances), ("bits/dim", "Frechet distance"), strict=True
    ):
        for place, (num_timesteps, schedule) in enumerate(product(LENGTHS, SCHEDULES)):
            for shift, objective in enumerate(OBJECTIVES):
                colour = COLOURS[objective]
                found = [value for key, value in values.items() if key[:3] == (num_timesteps, schedule, objective)]
                mean, error = mean_and_error(found)
                at = place + 0.22 * (shift - 1)
                axes.errorbar([at], [mean], [error], color=colour, marker="o", label=objective if place == 0 else None)
                axes.plot([at] * len(found), found, ".", color=colour, alpha=0.3, markersize=3)
        ticks = [f"{schedule}\nT = {num_timesteps:,}" for num_timesteps, schedule in product(LENGTHS, SCHEDULES)]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set(ylabel=name, yscale="log" if values is distances else "linear")
        tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _notes(scale: Scale) -> list[str]:
    data = scale.base.data
    size = "x".join(map(str, spec_of(data).size))
    return [
        f"The data is {data.source} at {size}; the paper's is CIFAR-10 at 32x32, and ImageNet at 64x64. Compare orders,"
        " not values (nor with copies of CIFAR-10 that went through JPEG).",
        f"L_vlb is trained with {scale.vlb_timesteps} timesteps; the paper's by importance sampling.",
        "L_simple's bits/dim are with the better of its two fixed variances, its FD is with the smaller one.",
        "A finding is tested on the means over all settings, seed by seed; the second table has each setting alone.",
        f"Bits/dim are of the whole chain, estimated from a part of its terms to within {scale.error:g} (95 %) for each"
        " run, with the same draws for all of a seed.",
        f"FD is of {scale.samples:,} samples in {scale.sampling_steps} steps.",
    ]
