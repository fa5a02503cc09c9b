"""The ablation's verdicts on planted bits/dim and Frechet distances."""

from itertools import product

import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.ablation import SCHEDULE, Ablation, Key, pairs

from .planted import CLEAR, SCALE, planted, value, verdicts

BITS: dict[Label, float] = {
    "L_simple": 0.0,
    "L_hybrid": -CLEAR,
    "L_vlb": -2 * CLEAR,
    "linear": CLEAR,
    "cosine": 0.0,
    1000: CLEAR,
    4000: 0,
}
"""What each adds to bits/dim, such that every claim of the paper holds."""
FD: dict[Label, float] = {
    "L_simple": 0.0,
    "L_hybrid": CLEAR,
    "L_vlb": 2 * CLEAR,
    "linear": CLEAR,
    "cosine": 0.0,
    1000: 0.0,
    4000: 0.0,
}


def measured(bits: dict[Label, float], distances: dict[Label, float], worse: str = "bits") -> list[Measured]:
    """worse: which of L_simple's two fixed variances has worse bits/dim."""

    def result(labels: dict[str, Label], measure: str) -> JSON:
        seed = labels["seed"]
        names = [labels[name] for name in ("T", "schedule", "objective")]
        if measure == "fd":
            return {"frechet": {"value": value(20 + sum(distances[name] for name in names), seed, "fd", *names)}}
        is_worse = labels["objective"] == "L_simple" and measure == worse
        return {"bits": value(3 + sum(bits[name] for name in names) + is_worse, seed, "bits", *names)}

    return planted(Ablation(), result)


@pytest.mark.parametrize(
    ("bits", "distances", "expected"),
    [
        ({}, {}, "++++++++"),
        ({"L_simple": -3 * CLEAR}, {}, "-+++++++"),
        ({"L_simple": -CLEAR}, {}, "?+++++++"),
        ({"L_vlb": 0.0}, {}, "+-++++++"),
        ({"L_vlb": -CLEAR}, {}, "+?++++++"),
        ({"linear": -CLEAR}, {}, "++-+++++"),
        ({"linear": 0.0}, {}, "++?+++++"),
        ({1000: -CLEAR}, {}, "+++-++++"),
        ({1000: 0.0}, {}, "+++?++++"),
        ({}, {"linear": -CLEAR}, "++++-+++"),
        ({}, {"linear": 0.0}, "++++?+++"),
        ({}, {"L_hybrid": -CLEAR}, "+++++-++"),
        ({}, {"L_hybrid": 0.0}, "+++++?++"),
        ({}, {"L_vlb": -CLEAR}, "++++++--"),
        ({}, {"L_vlb": 0.0}, "++++++?-"),
        ({}, {"L_vlb": CLEAR / 2, "L_hybrid": CLEAR}, "+++++++-"),
        ({}, {"L_vlb": CLEAR}, "+++++++?"),
    ],
)
def test_each_comparison(bits: dict[Label, float], distances: dict[Label, float], expected: str) -> None:
    outcome = Ablation().conclude(SCALE, measured({**BITS, **bits}, {**FD, **distances}))
    assert verdicts(outcome) == expected


@pytest.mark.parametrize("worse", ["bits", "bits, fixed_large"])
def test_fixed_variances_count_by_the_better_one(worse: str) -> None:
    assert verdicts(Ablation().conclude(SCALE, measured({**BITS, "L_simple": -3 * CLEAR}, FD, worse))) == "-+++++++"


@pytest.mark.parametrize(("hybrid", "verdict"), [(-CLEAR, "holds"), (CLEAR, "does not hold"), (0.0, "undecided")])
def test_every_setting_has_a_verdict_of_its_own(hybrid: float, verdict: str) -> None:
    table = Ablation().conclude(SCALE, measured({**BITS, "L_hybrid": hybrid}, FD)).tables[1]
    rows = [row for row in table.rows if row[0] == "bits/dim: L_hybrid below L_simple"]
    assert [row[1] for row in rows] == ["T 1,000, linear", "T 1,000, cosine", "T 4,000, linear", "T 4,000, cosine"]
    assert {row[2] for row in rows} == {verdict}


def test_pairs_differ_in_one_thing() -> None:
    values: dict[Key, float] = {
        (length, schedule, "L_vlb", seed): at + seed + 10 * (schedule == "linear")
        for at, (length, schedule) in enumerate(product((1000, 4000), ("linear", "cosine")))
        for seed in range(2)
    }
    expected = {"T 1,000, L_vlb": ([1, 2], [10, 11]), "T 4,000, L_vlb": ([3, 4], [12, 13])}
    assert pairs(values, SCHEDULE, "cosine", "linear") == expected
