"""Few steps, with several seeds: FD and bits/dim for every sampler, variance and stride, and what was promised of them.

    python -m benchmarks.few_steps digits [--seeds 3] [--runs runs/few-steps] [--page]

For every seed trains a run, plans it on the first held-out items, and judges it by `iddpm steps`, bits/dim on the last
held-out items, which were not planned on. All of it is kept in the runs, so that an interrupted study goes on. Writes
docs/results/few-steps-DATA.md, .json and .png: means over seeds, with the standard error of the mean.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import measured, parser, read, sentence, with_error, write
from iddpm.checkpoints.loading import load
from iddpm.config import Config
from iddpm.data import open_source
from iddpm.data.dataset import Rows
from iddpm.data.places import Places
from iddpm.data.sources.photos import Crops
from iddpm.diffusion.planning import JumpStatistics
from iddpm.diffusion.respacing import kept_timesteps, named_stride
from iddpm.errors import UserError
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.evaluation.images import collect, images_of_data
from iddpm.evaluation.metrics.frechet import frechet_distance
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.statistics import Statistics
from iddpm.few_steps.making import jump_statistics
from iddpm.few_steps.picture import picture
from iddpm.few_steps.plan import StoredPlan
from iddpm.names import PLANNED, STRIDES
from iddpm.pictures import save_image
from iddpm.progress import finish

FOLDS = 4
DRAWS = 24
"""Draws of real images, to see what FD so many of them have."""


@dataclass(frozen=True)
class Data:
    """The study of a dataset: words for iddpm train, plan and steps.

    source: as iddpm train names it. items: that are scored, the last held-out ones. close: within how many bits/dim of
    the whole chain so many planned steps should be. reference: makes a file of statistics for data without classes.
    full: words for iddpm steps that judge all steps of the chain, where `steps` takes fewer for it.
    """

    source: str
    train: str
    plan: str
    steps: str
    items: int
    close: dict[int, float]
    reference: Callable[[Config, Path], None] | None = None
    full: str = ""


def places(config: Config, path: Path) -> None:
    """Statistics of crops of photographs, in the features of a classifier that tells where they are from."""
    crops = open_source(config.data).train
    assert isinstance(crops, Crops)
    labelled = Places(crops)
    network = finish(ClassifierFeatures.trained_on(labelled))
    what = {"source": config.data.source, "split": "train"}
    statistics = finish(collect(images_of_data(labelled, what, count=REFERENCE), network))
    statistics.save(path)


REFERENCE = 10_000
REFERENCED = (
    "Samples are compared with training crops, by `--reference`, in the features of a classifier that tells which\n"
    "photograph a crop is from and where in it."
)
SMALL_RUN = (
    "--network.channels 32 --network.channel-multipliers 1 2 --network.num-res-blocks 1 --training.steps 6000"
    " --training.learning-rate 1e-3 --training.decay --training.warmup-steps 100 --training.ema-rates 0.995"
    " --training.validate-every 0 --training.sample-every 0"
)
METHODS = "--methods learned fixed_small fixed_large calibrated ddim dpm++ unipc"
DATA = {
    "digits": Data("digits", "", "--count 150", "--steps 5 10 16 25 50 --items 150 --count 1000", 150, {16: 0.05}),
    "photos": Data(
        "photos",
        f"--data.size 16 --network.attention-resolutions 8 {SMALL_RUN}",
        "--count 64 --longest 50",
        f"--steps 10 16 25 32 --items 32 --count 128 --whole 250 {METHODS}",
        32,
        {16: 0.2, 32: 0.1},
        places,
        "--steps 25 --items 32 --count 128 --methods dpm++ --strides uniform",
    ),
    # Small enough to draw as many samples as tell settings apart, in all 4,000 steps too.
    "photos-8": Data(
        "photos",
        f"--data.size 8 --network.attention-resolutions 4 {SMALL_RUN}",
        "--count 64 --longest 50",
        f"--steps 10 16 25 32 --items 64 --count 640 {METHODS}",
        64,
        {16: 0.2, 32: 0.1},
        places,
    ),
}


def command(*words: str) -> str:
    """Return what an iddpm command prints; its progress goes to stderr."""
    told = [sys.executable, "-m", "iddpm", *words]
    print("$ iddpm", " ".join(words), file=sys.stderr, flush=True)
    done = subprocess.run(told, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return done.stdout


def study(data: str, seed: int, runs: Path) -> dict[str, Any]:
    """Train, plan and judge one seed, and return its figures."""
    settings, run = DATA[data], runs / f"{data}-{seed}"
    if not (run / "plan.npz").exists():
        command("train", settings.source, "--run", str(run), "--training.seed", str(seed), *settings.train.split())
    planned = run / f"planned {settings.plan}.json"
    if not planned.exists():
        planned.write_text(command("plan", str(run), *settings.plan.split(), "--json"))
    compared, others = [], {}
    if settings.reference is not None:
        # One for all seeds: distances in different features are not to be averaged.
        reference, real = runs / f"{data}-reference.npz", runs / f"{data}-real.json"
        if not reference.exists():
            settings.reference(load(run).config, reference)
        compared = ["--reference", str(reference)]
        if not real.exists():
            drawn = {int(settings.steps.split("--count ")[1].split()[0]), 1000}
            real.write_text(json.dumps([{"count": n, "fd": of_real(run, reference, n)} for n in sorted(drawn)]))
        others["real"] = json.loads(real.read_text())
    judged = json.loads(command("steps", str(run), *settings.steps.split(), *compared, "--json"))
    if settings.full:
        told = command("steps", str(run), *settings.full.split(), *compared, "--json")
        others["full"] = json.loads(told)["rows"][0]
    bounds = json.loads(planned.read_text())["bits_per_dim"]
    unseen = run / f"unseen {settings.plan}.json"
    if not unseen.exists():
        unseen.write_text(json.dumps(on_unseen(run, settings.items)))
    return {
        "rows": judged["rows"],
        **others,
        "cheapest": judged["cheapest"],
        "planned": bounds,
        "unseen": json.loads(unseen.read_text()),
        "measured": measured(),
    }


def full(found: dict[str, Any]) -> dict[str, Any]:
    """Return a study's row of all the chain's steps, for which fewer may stand in the table."""
    row: dict[str, Any] = found.get("full", found["rows"][0])
    return row


def of_real(run: Path, reference: Path, count: int) -> list[float]:
    """Return the FD of so many training items, drawn anew each time: that of samples that nothing is wrong with."""
    known = Statistics.load(reference)
    network = ClassifierFeatures.from_bytes(known.network or b"")
    data = open_source(load(run).config.data).train
    found = []
    for seed in range(DRAWS):
        rows = np.random.default_rng(seed).choice(len(data), count, replace=False)
        features = network.embed(data.items(np.sort(rows)), data.spec.levels).features
        found.append(frechet_distance(Moments.of(features), known.moments))
    return found


def on_unseen(run: Path, items: int) -> list[dict[str, float]]:
    """Return how far planned steps are above the best other stride on the last held-out items, for every length.

    With the standard error over `FOLDS` parts of the items.
    """
    model, plan = load(run), StoredPlan.load(run / "plan.npz")
    held_out = open_source(model.config.data).validation
    assert held_out is not None
    folds = []
    for rows in np.array_split(np.arange(len(held_out) - items, len(held_out)), FOLDS):
        jumps, part = JumpStatistics(model.diffusion), Rows(held_out, rows)
        finish(jump_statistics(model, part, jumps, count=len(rows), seed=FOLDS))
        folds.append(jumps.costs())
    whole = len(model.diffusion.schedule)
    found = []
    for count in range(1, len(plan.plans["model"]) + 1):
        strides = [each for name in STRIDES if (each := stride(whole, named_stride(name, count)))]
        bounds = [
            [costs.bound(list(each)) for each in (plan.chain(count, from_noise=False), *strides)] for costs in folds
        ]
        ours, *others = zip(*bounds, strict=True)
        best = min(others, key=statistics.mean)
        value, error = mean([planned - other for planned, other in zip(ours, best, strict=True)])
        found.append({"steps": count, "difference": value, "error": error})
    return found


def stride(whole: int, name: str) -> list[int] | None:
    """Return its timesteps, or None where there is no such stride."""
    try:
        return kept_timesteps(whole, name)
    except UserError:
        return None


def mean(values: list[float]) -> tuple[float, float]:
    """Their mean and its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.mean(values), error


def together(studies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with means over seeds in place of each seed's values; a single seed's as they are."""
    if len(studies) == 1:
        return list(studies[0]["rows"])
    rows = []
    for each in zip(*(found["rows"] for found in studies), strict=True):
        row = dict(each[0])
        value, error = mean([found["fd"]["value"] for found in each])
        row["fd"] = {"value": value, "error": error}
        if row["bits"] is not None:
            value, error = mean([found["bits"]["mean"] for found in each])
            row["bits"] = {"mean": value, "error": error}
        rows.append(row)
    return rows


def find(rows: list[dict[str, Any]], method: str, stride: str, evaluations: int) -> dict[str, Any]:
    """Return the row of a setting."""
    key = (method, stride, evaluations)
    return next(row for row in rows if (row["method"], row["stride"], row["evaluations"]) == key)


def reached(is_so: bool) -> str:
    """Return a word on a bound that was missed."""
    return "" if is_so else ", missed"


def promises(data: str, studies: list[dict[str, Any]]) -> list[str]:
    """Return what was aimed at with few steps, and what was measured, as rows of a table."""
    lines = []
    worst = max(
        row["planned"]["model"] - min(row[each] for each in ("uniform", "ddim", "quadratic") if row[each] is not None)
        for found in studies
        for row in found["planned"]
    )
    longest = studies[0]["planned"][-1]["steps"]
    lines.append(
        f"| planned below uniform, ddim and quadratic steps on what was planned on, 1 ... {longest} steps | at most 0 |"
        f" worst difference {worst:.4f} |"
    )
    unseen = [row for found in studies for row in found["unseen"]]
    worst_row = max(unseen, key=lambda row: row["difference"])
    above = sum(row["difference"] > row["error"] for row in unseen)
    lines.append(
        f"| and on held-out items that were not | at most 0 | worst difference {worst_row['difference']:.4f} ±"
        f" {worst_row['error']:.4f} at {worst_row['steps']} steps; above the error in {above} of {len(unseen)} |"
    )
    for (count, most), method in product(DATA[data].close.items(), ("learned", "calibrated")):
        above = mean(
            [
                find(found["rows"], method, "planned", count)["bits"]["mean"] - full(found)["bits"]["mean"]
                for found in studies
            ]
        )
        found = with_error(*above, 3) + reached(above[0] <= most)
        lines.append(
            f"| {count} planned steps, {method}, above the {full(studies[0])['steps']} steps, bits/dim |"
            f" at most {most} | {found} |"
        )
    rows = together(studies)
    best = min((row for row in rows if row["evaluations"] == 25), key=lambda row: row["fd"]["value"])
    name = f"{best['method']}, {best['stride']}"
    at_25 = [find(found["rows"], best["method"], best["stride"], 25)["fd"]["value"] for found in studies]
    ratio = mean([value / full(found)["fd"]["value"] for value, found in zip(at_25, studies, strict=True)])
    lines.append(
        f"| FD at 25 evaluations ({name}) over that in all {full(studies[0])['steps']} steps | at most 1.1 |"
        f" {with_error(*ratio, 2)}{reached(ratio[0] <= 1.1)} |"
    )
    at_ten = [row for row in rows if row["evaluations"] == 10]
    best = min(at_ten, key=lambda row: row["fd"]["value"])
    for fixed in ("fixed_small", "fixed_large"):
        known = [row for row in at_ten if (row["method"], row["stride"]) == (fixed, "uniform")]
        if known:
            ratio = mean(
                [
                    find(found["rows"], fixed, "uniform", 10)["fd"]["value"]
                    / find(found["rows"], best["method"], best["stride"], 10)["fd"]["value"]
                    for found in studies
                ]
            )
            name = f"{best['method']}, {best['stride']}"
            lines.append(
                f"| FD at 10 evaluations: {fixed}, uniform, over the best ({name}) | at least 2 |"
                f" {with_error(*ratio, 2)}{reached(ratio[0] >= 2)} |"
            )
    best = min(rows, key=lambda row: row["fd"]["value"])
    lowest = with_error(best["fd"]["value"], best["fd"]["error"], 2)
    name = f"{best['method']}, {best['stride']}, {best['evaluations']} evaluations"
    lines.append(f"| for comparison: the lowest FD of any setting ({name}) | | {lowest} |")
    for real in studies[0].get("real", ()):
        values = real["fd"]
        told = f"mean {statistics.mean(values):.2f}, standard deviation {statistics.stdev(values):.2f}"
        lines.append(
            f"| for comparison: FD of {real['count']} real training items, drawn {len(values)} times | | {told} |"
        )
    return [*lines, *learned_and_fixed(rows)]


def whole_fd(studies: list[dict[str, Any]]) -> str:
    """Return the FD of all the chain's steps, and of those that stand for them in the picture."""
    every, drawn = (
        together([{"rows": [row]} for row in rows])[0]
        for rows in zip(*((full(found), found["rows"][0]) for found in studies), strict=True)
    )
    told = f"all {every['steps']} steps: {with_error(every['fd']['value'], every['fd']['error'], 2)}"
    if drawn["steps"] == every["steps"]:
        return told
    stand_in = with_error(drawn["fd"]["value"], drawn["fd"]["error"], 2)
    return f"{told}; {drawn['steps']} evenly spaced ones, drawn in the picture: {stand_in}"


def learned_and_fixed(rows: list[dict[str, Any]]) -> list[str]:
    """Return where the learned variance is better than both fixed ones with the same steps, as rows."""
    lines = []
    for key, value, name in (("bits", "mean", "bits/dim"), ("fd", "value", "FD")):
        tried, worse = 0, []
        for row in rows[1:]:
            if row["method"] == "learned":
                others = [each for each in rows[1:] if each["method"].startswith("fixed")]
                same = [each for each in others if all(each[k] == row[k] for k in ("stride", "evaluations"))]
                tried += 1
                if row[key][value] > min(each[key][value] for each in same):
                    worse.append(f"{row['evaluations']} {row['stride']}")
        where = f"{tried - len(worse)} of {tried}" + (f"; not at {', '.join(worse)}" if worse else "")
        lines.append(f"| learned variance below both fixed ones, {name} | everywhere | {where} |")
    return lines


def table(rows: list[dict[str, Any]], key: str, value: str, digits: int) -> list[str]:
    """Settings by evaluations: a line for each method and stride."""
    counts = sorted({row["evaluations"] for row in rows if row["stride"] != "whole"})
    lines = [f"| method | stride | {' | '.join(map(str, counts))} |", f"|---|---|{'---|' * len(counts)}"]
    for method in dict.fromkeys(row["method"] for row in rows):
        for stride in (*STRIDES, PLANNED):
            found = [row for row in rows if (row["method"], row["stride"]) == (method, stride) and row[key] is not None]
            if found:
                by = {row["evaluations"]: with_error(row[key][value], row[key]["error"], digits) for row in found}
                lines.append(f"| {method} | {stride} | {' | '.join(by.get(count, '') for count in counts)} |")
    return lines


def page(data: str, studies: list[dict[str, Any]]) -> str:
    """Return the page of a study."""
    rows, settings = together(studies), DATA[data]
    lines = [
        f"# Few steps: {data}",
        "",
        f"`python -m benchmarks.few_steps {data}` made this page from {len(studies)} run(s), seeds from 0 on:",
        "",
        "```sh",
        f"iddpm train {settings.source} --run RUN --training.seed SEED {settings.train}".rstrip(),
        f"iddpm plan RUN {settings.plan}",
        f"iddpm steps RUN {settings.steps}",
        *([f"iddpm steps RUN {settings.full}"] if settings.full else []),
        "```",
        "",
        *([REFERENCED, ""] if settings.reference else []),
        "Figures are means over runs, ± the standard error of the mean; of a single run ± is the standard error over",
        "images. Runs are scored on the same items with the same noise, whose own error (0.01 bits/dim or more) is not",
        "in ±. What counts are evaluations of the network for a sample: the Jacobian's variance takes two a step, and",
        "leaves an odd one out.",
        "",
        f"![quality against steps](few-steps-{data}.png)",
        "",
        "| aimed at | bound | measured |",
        "|---|---|---|",
        *promises(data, studies),
        "",
        f"## FD ({whole_fd(studies)})",
        "",
        *table(rows, "fd", "value", 2),
        "",
        f"## Bits/dim on held-out items that were not planned on (all {full(studies[0])['steps']} steps:"
        f" {with_error(*mean([full(found)['bits']['mean'] for found in studies]), 3)})",
        "",
        *table(rows, "bits", "mean", 3),
        *sentence([found.get("measured", {}) for found in studies]),
    ]
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("data", choices=list(DATA))
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--runs", type=Path, default=Path("runs/few-steps"))
    arguments = command.parse_args(words)
    path = arguments.out / f"few-steps-{arguments.data}.json"
    if not arguments.page:
        write(path, [study(arguments.data, seed, arguments.runs) for seed in range(arguments.seeds)])
    studies = read(path, None)
    runs = "one run; bars: standard errors" if len(studies) == 1 else f"means of {len(studies)} runs and their errors"
    title = f"{arguments.data}: {runs}"
    save_image(path.with_suffix(".png"), picture(together(studies), title, full(studies[0])["steps"]))
    path.with_suffix(".md").write_text(page(arguments.data, studies))


if __name__ == "__main__":
    main()
