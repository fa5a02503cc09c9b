"""The noise scale's parts, against gradients whose mean and covariance are known, and verdicts on planted ones."""

import math

import pytest
import torch

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.gradient_noise import RUNS, GradientNoise, Gradients, _true_square

from .planted import CLEAR, SCALE, planted, value, verdicts

UNIFORM, LOW_DISCREPANCY, IMPORTANCE, HYBRID = RUNS
HOLDS = {
    "same": {UNIFORM: math.log(2) + CLEAR, IMPORTANCE: 0.0},
    "own": {UNIFORM: CLEAR, HYBRID: 0.0},
    "last": {UNIFORM: CLEAR, IMPORTANCE: 0.0, HYBRID: CLEAR},
    "unbounded": {UNIFORM: CLEAR, IMPORTANCE: 0.0},
}
"""Logarithms of noise scales and bits/dim, such that every claim of the paper holds."""
OTHERS = (7.0, -7.0)
"""What no claim is about, very high or low."""


def drawn(count: int, noise: float, mean: torch.Tensor, seed: int) -> Gradients:
    generator = torch.Generator().manual_seed(seed)
    each = mean + noise * torch.randn(count, len(mean), generator=generator, dtype=torch.double)
    found = each.mean(dim=0)
    trace = float((each - found).square().sum()) / (count - 1)
    return Gradients(count, found, trace)


def test_the_true_gradients_square_is_without_the_noises_part() -> None:
    mean = 0.1 * torch.ones(50, dtype=torch.double)  # |G|^2 is 0.5
    squares = [
        _true_square([drawn(40, 1.0, mean, 2 * seed), drawn(40, 3.0, mean, 2 * seed + 1)]) for seed in range(400)
    ]
    found = torch.tensor(squares)
    error = float(found.std() / len(found) ** 0.5)
    assert float(found.mean()) == pytest.approx(0.5, abs=4 * error)
    naive = torch.stack([drawn(40, 1.0, mean, seed).mean.square().sum() for seed in range(400)])
    assert float(naive.mean()) > 1.5  # what it would be with it


def test_a_gradient_that_noise_hides_has_a_small_positive_square() -> None:
    nothing = torch.zeros(50, dtype=torch.double)
    assert all(_true_square([drawn(40, 1.0, nothing, seed)]) > 0 for seed in range(50))


def measured(changes: dict[str, dict[str, float]], other: float) -> list[Measured]:
    """other: what stands where no claim looks."""
    plan = {name: {**HOLDS[name], **changes.get(name, {})} for name in HOLDS}

    def result(labels: dict[str, Label], measure: str) -> JSON:
        run, seed = str(labels["run"]), labels["seed"]

        def of(kind: str, name: str) -> float:
            return value(plan[kind].get(name, other), seed, kind, name)

        if measure == "curve":
            return {"step": [1, 2], "bits": [9 - of("last", run), 9 + of("last", run)]}
        if measure == "unbounded":
            return {"bits": 9 + of("unbounded", run)}
        scales = dict.fromkeys(RUNS, math.exp(other))
        if run == IMPORTANCE:
            scales = {name: math.exp(of("same", name)) for name in RUNS}
        elif run in plan["own"]:
            scales[run] = math.exp(of("own", run))
        return {"scales": scales}

    return planted(GradientNoise(), result)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "+++++"),
        ({"same": {UNIFORM: math.log(2) - CLEAR}}, "-++++"),
        ({"same": {UNIFORM: math.log(2)}}, "?++++"),
        ({"own": {HYBRID: 2 * CLEAR}}, "+-+++"),
        ({"own": {HYBRID: CLEAR}}, "+?+++"),
        ({"last": {UNIFORM: -CLEAR}}, "++-++"),
        ({"last": {UNIFORM: 0.0}}, "++?++"),
        ({"unbounded": {UNIFORM: -CLEAR}}, "+++-+"),
        ({"unbounded": {UNIFORM: 0.0}}, "+++?+"),
        ({"last": {HYBRID: -CLEAR}}, "++++-"),
        ({"last": {HYBRID: 0.0}}, "++++?"),
    ],
)
def test_each_comparison(changes: dict[str, dict[str, float]], expected: str, other: float) -> None:
    assert verdicts(GradientNoise().conclude(SCALE, measured(changes, other))) == expected
