"""Tables 1 and 2: how T, the schedule and the objective change bits/dim and FD."""

from __future__ import annotations

from itertools import product

from matplotlib.figure import Figure

from iddpm.experiments.data import spec_of
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Label, Measured, Outcome, Table
from iddpm.experiments.figures import OBJECTIVE_COLOURS, panels, tidy
from iddpm.experiments.measures import Bits, Judged
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import Pair, lower, mean_and_error, mean_text, over_settings

SCHEDULES = ("linear", "cosine")
OBJECTIVES = ("L_simple", "L_hybrid", "L_vlb")
LENGTHS = (1000, 4000)
Key = tuple[Label, ...]
"""T, schedule, objective and seed of a run."""
LENGTH, SCHEDULE, OBJECTIVE = range(3)
"""Places in a key."""
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


class Ablation(Experiment):
    """T 1,000 and 4,000, linear and cosine, L_simple, L_hybrid and L_vlb."""

    title = "Schedule, objective and length of the chain"
    paper = "Tables 1 and 2"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        return [
            cell(scale, schedule, num_timesteps, objective, seed)
            for seed, num_timesteps, schedule, objective in product(range(seeds), LENGTHS, SCHEDULES, OBJECTIVES)
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        bits = {tuple(cell.labels.values()): bits_of(cell) for cell in measured}
        distances = {tuple(cell.labels.values()): cell.results["fd"]["frechet"]["value"] for cell in measured}
        short, long = LENGTHS
        claims: dict[str, tuple[dict[Key, float], int, Label, Label]] = {
            "bits/dim: L_hybrid below L_simple": (bits, OBJECTIVE, "L_hybrid", "L_simple"),
            "bits/dim: L_vlb below L_hybrid": (bits, OBJECTIVE, "L_vlb", "L_hybrid"),
            "bits/dim: cosine below linear": (bits, SCHEDULE, "cosine", "linear"),
            f"bits/dim: T = {long:,} below T = {short:,}": (bits, LENGTH, long, short),
            "FD: cosine below linear": (distances, SCHEDULE, "cosine", "linear"),
            "FD: L_simple below L_hybrid": (distances, OBJECTIVE, "L_simple", "L_hybrid"),
            "FD: L_simple below L_vlb": (distances, OBJECTIVE, "L_simple", "L_vlb"),
            "FD: L_hybrid below L_vlb": (distances, OBJECTIVE, "L_hybrid", "L_vlb"),
        }
        by_setting = {claim: pairs(*sides) for claim, sides in claims.items()}
        findings = [lower(claim, *over_settings(settings.values())) for claim, settings in by_setting.items()]
        tables = [_means(bits, distances), _settings(by_setting)]
        return Outcome(tables, findings, _figure(bits, distances), _notes(scale))


def cell(scale: Scale, schedule: str, num_timesteps: int, objective: str, seed: int) -> Cell:
    """Return a run of the grid; other experiments share some of them."""
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
    """Return bits/dim, with the better fixed variance if none is learned."""
    return min(float(result["bits"]) for name, result in measured.results.items() if name.startswith("bits"))


def pairs(values: dict[Key, float], place: int, low: Label, high: Label) -> dict[str, Pair]:
    """Return the values of runs that differ in nothing but `low` or `high` at `place` of their keys, by setting."""
    by_setting: dict[str, tuple[list[float], list[float]]] = {}
    for key, value in values.items():
        if key[place] == low:
            rest = (*key[:place], *key[place + 1 : -1])
            setting = ", ".join(f"T {label:,}" if isinstance(label, int) else str(label) for label in rest)
            lows, highs = by_setting.setdefault(setting, ([], []))
            lows.append(value)
            highs.append(values[(*key[:place], high, *key[place + 1 :])])
    return dict(by_setting)


def _settings(by_setting: dict[str, dict[str, Pair]]) -> Table:
    rows = [
        [claim, setting, finding.verdict, finding.statistic]
        for claim, settings in by_setting.items()
        for setting, pair in settings.items()
        for finding in [lower(claim, *pair)]
    ]
    return Table("Setting by setting", ["finding", "at", "here", "statistic"], rows)


def _means(bits: dict[Key, float], distances: dict[Key, float]) -> Table:
    rows = []
    for key in product(LENGTHS, SCHEDULES, OBJECTIVES):
        ours = [mean_text(_of_seeds(values, key)) for values in (bits, distances)]
        theirs = [f"{paper[key][0]:.2f} / {paper[key][1]:g}" if key in paper else "" for paper in (CIFAR, IMAGENET)]
        rows.append([f"{key[0]:,}", *key[1:], *ours, *theirs])
    header = ["T", "schedule", "objective", "bits/dim", "FD", "paper, CIFAR-10: bits/dim / FID", "ImageNet 64x64"]
    return Table("Means over seeds, with their standard errors", header, rows)


def _of_seeds(values: dict[Key, float], setting: Key) -> list[float]:
    return [value for key, value in values.items() if key[:-1] == setting]


def _figure(bits: dict[Key, float], distances: dict[Key, float]) -> Figure:
    figure, (left, right) = panels(2)
    chains = list(product(LENGTHS, SCHEDULES))
    for axes, values, name in ((left, bits, "bits/dim"), (right, distances, "Frechet distance")):
        for place, chain in enumerate(chains):
            for shift, objective in enumerate(OBJECTIVES):
                of_seeds, colour = _of_seeds(values, (*chain, objective)), OBJECTIVE_COLOURS[objective]
                mean, error = mean_and_error(of_seeds)
                at = place + 0.22 * (shift - 1)
                axes.errorbar([at], [mean], [error], color=colour, marker="o", label=objective if place == 0 else None)
                axes.plot([at] * len(of_seeds), of_seeds, ".", color=colour, alpha=0.3, markersize=3)
        axes.set_xticks(range(len(chains)), [f"{schedule}\nT = {length:,}" for length, schedule in chains])
        axes.set(ylabel=name, yscale="log" if values is distances else "linear")
        tidy(axes)
    left.legend(frameon=False, fontsize=8)
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
