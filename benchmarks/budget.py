"""A test of bits/dim on a budget: how often the interval covers the exact value, and what it costs.

    python -m benchmarks.budget RUN [--error 0.01 ...] [--count 64] [--trials 200 ...] [--passes 8]
        [--repeats 0]

The exact value is the mean of so many whole passes over the same held-out items, each with noise of its own; the steps
next to the data, whose terms vary most with the noise, are repeated more often. What is done is kept in RUN/budget, so
that an interrupted study goes on. Adds to docs/results/budget.json, and makes budget.md of it.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks.results import measured, parser, read, sentence, write
from iddpm.checkpoints.loading import load
from iddpm.cli.train_words import train_command
from iddpm.data import Dataset, open_source
from iddpm.diffusion import SeededNoise, single_terms
from iddpm.diffusion.randomness import mixed_seed
from iddpm.files import write_json
from iddpm.model import Model
from iddpm.scoring.budget import BoundEstimate, estimate
from iddpm.scoring.whole import score

OTHER_SEEDS = 1_000_000
NEAR = 64
"""Steps next to the data that are repeated."""


@dataclass(frozen=True)
class Exact:
    """The bound of the items, the standard error that noise leaves it, and how much whole passes differ."""

    mean: float
    error: float
    pass_spread: float


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Return what `make` gives, kept as JSON in a file: it is made once."""
    if not path.exists():
        write_json(path, make())
        print(path.stem, file=sys.stderr, flush=True)
    return json.loads(path.read_text())


def exact_bound(run: Path, model: Model, held_out: Dataset, count: int, passes: int, repeats: int) -> Exact:
    """Return the bound from whole passes, and `repeats` further ones over the `NEAR` first steps."""
    near = min(NEAR, len(model.diffusion.schedule))

    def whole(seed: int) -> tuple[float, float]:
        found = score(model, held_out, count=count, seed=OTHER_SEEDS + seed, batch_size=128)
        first = sum(found.terms[:near])
        return first, found.total.mean - first

    found = [kept(run / f"budget/{count} items, pass {each}.json", partial(whole, each)) for each in range(passes)]
    firsts, far = [first for first, _ in found], [rest for _, rest in found]
    firsts += [
        kept(
            run / f"budget/{count} items, first {near} steps, {repeat}.json",
            partial(_near_bits, model, held_out, count, near, repeat),
        )
        for repeat in range(repeats)
    ]
    mean = statistics.mean(far) + statistics.mean(firsts)
    of_far, of_near = statistics.variance(far), statistics.variance(firsts)
    return Exact(mean, math.sqrt(of_far / passes + of_near / len(firsts)), math.sqrt(of_far + of_near))


def _near_bits(model: Model, held_out: Dataset, count: int, near: int, repeat: int) -> float:
    """Return the sum of the first `near` terms, a mean over the items, with noise that belongs to `repeat`."""
    rows = np.arange(count)
    x_0 = held_out.batch(rows).to(model.device)
    predict = model.predict(model.conditions_from(x_0, held_out, rows))
    total = 0.0
    for position in range(near):
        noise = SeededNoise([mixed_seed(OTHER_SEEDS, repeat, position)], x_0.shape, model.device)()[0]
        positions = torch.full((count,), position, device=x_0.device)
        total += float(single_terms(model.diffusion, predict, x_0, positions, noise).double().mean())
    return total


def study(
    run: Path, errors: list[float], count: int, trials: list[int], passes: int, repeats: int
) -> list[dict[str, Any]]:
    """Return coverage and cost of each error, as JSON."""
    model = load(run)
    held_out = open_source(model.config.data).validation
    assert held_out is not None
    exact = exact_bound(run, model, held_out, count, passes, repeats)
    print(exact, file=sys.stderr, flush=True)
    known = {"exact": exact.mean, "exact_error": exact.error, "pass_spread": exact.pass_spread} | measured()
    known |= {"passes": passes, "repeats": repeats}
    return [
        {**asked(run, model, held_out, exact, error, count, many), **known}
        for error, many in zip(errors, trials, strict=True)
    ]


def asked(
    run: Path, model: Model, held_out: Dataset, exact: Exact, error: float, count: int, trials: int
) -> dict[str, Any]:
    """Estimate to within `error` again and again, and return what came of it."""

    def trial(seed: int) -> dict[str, Any]:
        return vars(estimate(model, held_out, error=error, count=count, seed=seed, batch_size=128))

    names = [f"budget/{count} items, within {error}, {seed}.json" for seed in range(trials)]
    found = [BoundEstimate(**kept(run / name, partial(trial, seed))) for seed, name in enumerate(names)]
    covered = sum(abs(each.mean - exact.mean) <= each.half_width for each in found)
    return {
        "data": f"{model.config.data.source}, {'x'.join(map(str, model.spec.size))}",
        "train": train_command(model.config, Path("RUN")),
        "T": len(model.diffusion.schedule),
        "items": count,
        "error": error,
        "trials": trials,
        "covered": covered,
        "mean": statistics.mean(each.mean for each in found),
        "spread": statistics.stdev(each.mean for each in found),
        "half_width": statistics.mean(each.half_width for each in found),
        "evaluations": statistics.mean(each.evaluations for each in found),
        "of_all": found[0].of_all,
    }


def page(results: list[dict[str, Any]]) -> str:
    """Return the page of all results so far."""
    lines = [
        "# Bits/dim on a budget",
        "",
        "`iddpm nll RUN --error E` goes on until its 95 % interval is within E. `python -m benchmarks.budget RUN",
        "--error E --count ITEMS` asked it again and again, with other draws each time, and made this page: how often",
        "the interval covers the exact value (the mean of whole passes with noise of their own, `--passes`, and of",
        f"further ones over the {NEAR} steps next to the data, `--repeats`), and how many evaluations that takes, a",
        "pilot included. 93 to 97 % of 200 trials are what 95 % may look like.",
        "",
        "| data | T | items | E | covers | evaluations | share of a whole pass | exact to | passes, repeats"
        " | a whole pass is itself within |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        own = f"±{1.96 * each['pass_spread']:.4f}"
        exact = f"±{stats.t.ppf(0.975, each['passes'] - 1) * each['exact_error']:.4f}"
        lines.append(
            f"| {each['data']} | {each['T']:,} | {each['items']} | {each['error']:g} |"
            f" {100 * each['covered'] / each['trials']:.1f} % of {each['trials']} | {each['evaluations']:,.0f} |"
            f" 1/{each['of_all'] / each['evaluations']:.1f} | {exact} | {each['passes']}, {each['repeats']} | {own} |"
        )
    lines += [
        "",
        "The last column is the 95 % interval of a whole pass, from how much passes differ: where it is no narrower",
        "than E, a budget saves little: images of few pixels in a short chain are such data. The runs:",
        "",
        "```sh",
        *dict.fromkeys(result["train"] for result in results),
        "```",
        *sentence(results),
    ]
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("run", type=Path, nargs="?")
    command.add_argument("--error", type=float, nargs="+", default=[0.01])
    command.add_argument("--count", type=int, default=64)
    command.add_argument("--trials", type=int, nargs="+", default=[200], help="one number, or one for each error")
    command.add_argument("--passes", type=int, default=8)
    command.add_argument("--repeats", type=int, default=0, help=f"of the {NEAR} steps next to the data")
    arguments = command.parse_args(words)
    path = arguments.out / "budget.json"
    results = read(path, [])
    if not arguments.page:
        if arguments.run is None:
            command.error("needs a run")
        if arguments.passes < 2:
            command.error("--passes: at least 2, whose difference says how exact their mean is")
        trials = arguments.trials * len(arguments.error) if len(arguments.trials) == 1 else arguments.trials
        if len(trials) != len(arguments.error):
            command.error(f"--trials: {len(trials)} for {len(arguments.error)} errors; give one, or one for each")
        new = study(arguments.run, arguments.error, arguments.count, trials, arguments.passes, arguments.repeats)
        keys = [[result[name] for name in ("data", "T", "items", "error")] for result in new]
        results = [row for row in results if [row[name] for name in ("data", "T", "items", "error")] not in keys] + new
        write(path, results)
    path.with_suffix(".md").write_text(page(results))


if __name__ == "__main__":
    main()
