"""The law of the scaling experiment."""

import numpy as np
import pytest

from iddpm.experiments.paper.scaling import _predicted, fit

COMPUTE = np.array([1.0, 2.0, 4.5, 9.0]) * 1e12
KNOWN = 2.5 + 3.0 * (COMPUTE / 1e12) ** -0.6


def test_a_law_is_found_again_and_goes_on() -> None:
    law = fit(COMPUTE[:3], KNOWN[:3, None])
    assert float(law(COMPUTE[3:])[0]) == pytest.approx(KNOWN[3], rel=1e-3)
    assert law.a == pytest.approx(2.5, rel=0.02)


def test_a_law_goes_through_means_however_seeds_differ() -> None:
    known = KNOWN[:, None] * np.array([0.5, 0.9, 1.6])
    assert fit(COMPUTE[:3], known[:3])(COMPUTE[:3]) == pytest.approx(KNOWN[:3], rel=1e-3)


@pytest.mark.parametrize(
    ("noise", "last", "verdict"),
    [(0.0005, 1.0, "holds"), (0.0005, 1.2, "does not hold"), (0.01, 1.0, "undecided"), (0.0, 1.0, "holds")],
)
def test_a_prediction_is_told_with_what_seeds_leave_open(noise: float, last: float, verdict: str) -> None:
    random = np.random.default_rng(0)
    known = KNOWN[:, None] * (1 + noise * random.standard_normal((4, 5)))
    known[-1] *= last
    assert _predicted("bits", 24, COMPUTE, known).verdict == verdict


def test_one_seed_decides_nothing() -> None:
    finding = _predicted("fd", 24, COMPUTE, KNOWN[:, None])
    assert finding.verdict == "undecided"
    assert "one seed" in finding.statistic
