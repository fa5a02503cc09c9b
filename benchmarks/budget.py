"""Whether bits/dim on a budget are what they say: how often the interval covers the exact value, and what it costs.

    python -m benchmarks.budget RUN [--error 0.01 ...] [--count 64] [--trials 200 ...] [--passes 8]

The exact value is the mean of so many whole passes over the same held-out items, each with noise of its own. Adds to
docs/results/budget.json, and makes budget.md of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.quality import RESULTS
from iddpm.checkpoints.run import load
from iddpm.data import Dataset, open_source
from iddpm.estimation import estimate_bound
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.model import Model
from iddpm.scoring import score

OTHER_SEEDS = 1_000_000


def study(run: Path, errors: list[float], count: int, trials: list[int], passes: int) -> list[dict[str, Any]]:
    """Coverage and cost of each error, as JSON."""
    model = load(run)
    held_out = open_source(model.config.data).validation
    assert held_out is not None
    exact = [
        score(model, held_out, count=count, seed=OTHER_SEEDS + each, batch_size=128).total.mean
        for each in range(passes)
    ]
    return [asked(model, held_out, exact, error, count, many) for error, many in zip(errors, trials, strict=True)]


def asked(model: Model, held_out: Dataset, exact: list[float], error: float, count: int, trials: int) -> dict[str, Any]:
    """Estimates to within `error`, again and again."""
    truth, passes = statistics.mean(exact), len(exact)
    found = []
    for seed in range(trials):
        *_, last = estimate_bound(model, held_out, model.diffusion, error=error, count=count, seed=seed, batch_size=128)
        found.append(last)
        if seed % 20 == 19:
            print(f"{seed + 1}/{trials}", file=sys.stderr, flush=True)
    covered = sum(abs(each.mean - truth) <= each.half_width for each in found)
    return {
        "data": f"{model.config.data.source}, {'x'.join(map(str, model.spec.size))}",
        "train": DiffusionRun(model.config).command(Path("RUN")),
        "T": len(model.diffusion.schedule),
        "items": count,
        "error": error,
        "exact": truth,
        "pass_spread": statistics.stdev(exact) if passes > 1 else None,
        "passes": passes,
        "trials": trials,
        "covered": covered,
        "mean": statistics.mean(each.mean for each in found),
        "spread": statistics.stdev(each.mean for each in found),
        "half_width": statistics.mean(each.half_width for each in found),
        "evaluations": statistics.mean(each.evaluations for each in found),
        "of_all": found[0].of_all,
    }


def page(results: list[dict[str, Any]]) -> str:
    """All results so far for a person."""
    lines = [
        "# Bits/dim on a budget",
        "",
        "`iddpm nll RUN --error E` goes on until its 95 % interval is within E. `python -m benchmarks.budget RUN",
        "--error E --count ITEMS` asked it again and again, with other draws each time, and made this page: how often",
        "the interval covers the exact value (the mean of whole passes with noise of their own), and how many",
        "evaluations that takes, a pilot included. 93 to 97 % of 200 trials are what 95 % may look like.",
        "",
        "| data | T | items | E | covers | evaluations | share of a whole pass | a whole pass is itself within |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        own = "" if each["pass_spread"] is None else f"±{1.96 * each['pass_spread']:.4f}"
        lines.append(
            f"| {each['data']} | {each['T']:,} | {each['items']} | {each['error']:g} |"
            f" {100 * each['covered'] / each['trials']:.1f} % of {each['trials']} | {each['evaluations']:,.0f} |"
            f" 1/{each['of_all'] / each['evaluations']:.1f} | {own} |"
        )
    lines += [
        "",
        "The last column is the 95 % interval of a whole pass, from how much passes differ: where it is no narrower",
        "than E, a budget saves little: images of few pixels in a short chain are such data. The runs:",
        "",
        "```sh",
        *dict.fromkeys(each["train"] for each in results),
        "```",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--error", type=float, nargs="+", default=[0.01])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--trials", type=int, nargs="+", default=[200], help="as many numbers as errors")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS / "budget.json")
    arguments = parser.parse_args()
    found = study(arguments.run, arguments.error, arguments.count, arguments.trials, arguments.passes)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    key = ("data", "T", "items", "error")
    for result in found:
        results = [each for each in results if any(each[name] != result[name] for name in key)]
        results.append(result)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(page(results))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
