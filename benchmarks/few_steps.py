"""Few steps, with several seeds: FD and bits/dim for every sampler, variance and stride, and what was promised of them.

    python -m benchmarks.few_steps digits|photos [--seeds 3] [--runs runs/few-steps]

For every seed trains a run, plans it on the first held-out items, and judges it by `iddpm steps`, bits/dim on the last
held-out items, which were not planned on. All of it is kept in the runs, so that an interrupted study goes on. Writes
docs/results/few-steps-DATA.md, .json and .png: means over seeds, with the standard error of the mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality import RESULTS
from iddpm.pictures import save_image
from iddpm.report.steps import picture

STRIDES = ("uniform", "quadratic", "planned")


@dataclass(frozen=True)
class Data:
    """How a dataset is studied. close: how far planned chains of so many steps may be from the whole chain's bits/dim."""

    train: str
    plan: str
    steps: str
    close: dict[int, float]


DATA = {
    "digits": Data("", "--count 150", "--steps 5 10 16 25 50 --items 150 --count 1000", {16: 0.05}),
    "photos": Data(
        "--training.steps 600 --training.batch-size 16 --training.learning-rate 1e-3 --training.warmup-steps 50"
        " --training.decay --training.ema-rates 0.99 --training.validate-every 0 --training.sample-every 0",
        "--count 48 --candidates 256",
        "--steps 10 16 25 32 --items 48 --count 200 --whole 250 --features classifier"
        " --methods learned fixed_large calibrated dpm++sde",
        {16: 0.2, 32: 0.1},
    ),
}


def command(*words: str) -> str:
    """What an iddpm command prints; its progress goes to stderr."""
    told = [sys.executable, "-m", "iddpm", *words]
    print("$ iddpm", " ".join(words), file=sys.stderr, flush=True)
    done = subprocess.run(told, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    return done.stdout


def study(data: str, seed: int, runs: Path) -> dict[str, Any]:
    """Train, plan and judge one seed."""
    settings, run = DATA[data], runs / f"{data}-{seed}"
    if not (run / "plan.npz").exists():
        command("train", data, "--run", str(run), "--training.seed", str(seed), *settings.train.split())
        command("plan", str(run), *settings.plan.split())
    judged = json.loads(command("steps", str(run), *settings.steps.split(), "--json"))
    planned = json.loads(command("plan", str(run), *settings.plan.split(), "--json"))
    return {"rows": judged["rows"], "cheapest": judged["cheapest"], "planned": planned["bits_per_dim"]}


def mean(values: list[float]) -> tuple[float, float]:
    """Their mean and its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.mean(values), error


def together(studies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with means over seeds in place of each seed's values."""
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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(DATA))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/few-steps"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    studies = [study(arguments.data, seed, arguments.runs) for seed in range(arguments.seeds)]
    name = f"few-steps-{arguments.data}"
    (arguments.out / f"{name}.json").write_text(json.dumps(studies, indent=1) + "\n")


if __name__ == "__main__":
    main()
