"""Whether bits/dim on a budget are what they say: how often the interval covers the exact value, and what it costs.

    python -m benchmarks.budget RUN [--error 0.01] [--count 64] [--trials 200] [--passes 8]

The exact value is the mean of so many whole passes over the same held-out items, each with noise of its own. Adds to
docs/results/budget.json.
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
from iddpm.data import open_source
from iddpm.estimation import estimate_bound
from iddpm.scoring import score

OTHER_SEEDS = 1_000_000


def study(run: Path, error: float, count: int, trials: int, passes: int) -> dict[str, Any]:
    """Coverage and cost, as JSON."""
    model = load(run)
    held_out = open_source(model.config.data).validation
    assert held_out is not None
    exact = [
        score(model, held_out, count=count, seed=OTHER_SEEDS + each, batch_size=128).total.mean
        for each in range(passes)
    ]
    truth = statistics.mean(exact)
    found = []
    for seed in range(trials):
        *_, last = estimate_bound(model, held_out, model.diffusion, error=error, count=count, seed=seed, batch_size=128)
        found.append(last)
        if seed % 20 == 19:
            print(f"{seed + 1}/{trials}", file=sys.stderr, flush=True)
    covered = sum(abs(each.mean - truth) <= each.half_width for each in found)
    return {
        "data": model.config.data.source,
        "T": len(model.diffusion.schedule),
        "items": count,
        "error": error,
        "exact": truth,
        "exact_error": statistics.stdev(exact) / passes**0.5 if passes > 1 else None,
        "trials": trials,
        "covered": covered,
        "mean": statistics.mean(each.mean for each in found),
        "spread": statistics.stdev(each.mean for each in found),
        "half_width": statistics.mean(each.half_width for each in found),
        "evaluations": statistics.mean(each.evaluations for each in found),
        "of_all": found[0].of_all,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--error", type=float, default=0.01)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS / "budget.json")
    arguments = parser.parse_args()
    result = study(arguments.run, arguments.error, arguments.count, arguments.trials, arguments.passes)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    key = ("data", "T", "items", "error")
    results = [each for each in results if any(each[name] != result[name] for name in key)]
    arguments.out.write_text(json.dumps([*results, result], indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
