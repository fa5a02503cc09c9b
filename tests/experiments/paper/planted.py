"""Measurements whose verdict is known, for the tests of what experiments conclude.

A planted value is a mean; plus a shift that all runs of a seed share, far larger than the planted differences, so that
only a paired test sees these; plus noise of its own. Shifts and noise have the mean 0 over the seeds: equal means leave
a claim undecided, and a difference of `CLEAR` decides it (p below 0.01).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from iddpm.experiments.experiment import JSON, Experiment, Label, Measured, Outcome
from iddpm.experiments.scales import Scale, tiny

SCALE = tiny()
SEEDS = 5
STEP = 1 / 256
CLEAR = 10 * STEP
SHIFTS = (-60, 25, 10, -15, 40)
SIGNS = {"holds": "+", "does not hold": "-", "undecided": "?"}


def noise(seed: Label, *names: Label) -> float:
    """Return the noise of what has these names: what is of one run, or of one measure, has its own."""
    steps = random.Random(repr(names)).sample(range(-2, 3), SEEDS)
    return steps[int(seed)] * STEP


def value(expected: float, seed: Label, *names: Label) -> float:
    """Return a value that is `expected` in the mean over seeds."""
    return expected + SHIFTS[int(seed)] * STEP + noise(seed, *names)


def planted(
    experiment: Experiment, result: Callable[[dict[str, Label], str], JSON], scale: Scale = SCALE, seeds: int = SEEDS
) -> list[Measured]:
    """Return what all of an experiment's cells would have given: `result` of a cell's labels and a measure's label."""
    return [
        Measured(cell.labels, {measure.label: result(cell.labels, measure.label) for measure in cell.measures})
        for cell in experiment.cells(scale, seeds)
    ]


def verdicts(outcome: Outcome) -> str:
    """Return a sign for each finding: + for "holds", - for "does not hold", ? for "undecided"."""
    return "".join(SIGNS[finding.verdict] for finding in outcome.findings)
