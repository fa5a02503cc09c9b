"""The law of the scaling experiment, and the verdicts on planted values."""

import numpy as np
import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper import scaling
from iddpm.experiments.paper.scaling import Scaling, _predicted, fit

from .planted import SCALE, STEP, noise, planted, verdicts

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


def measured(fd: tuple[float, float], bits: tuple[float, float]) -> list[Measured]:
    """Values on a law of training compute, with a relative noise each; and those of the last width times so much.

    fd, bits: the noise, and that factor.
    """
    plan = {"fd": fd, "bits": bits}

    def result(labels: dict[str, Label], measure: str) -> JSON:
        channels, (score, part) = int(labels["channels"]), measure.split(", ")
        noise_size, factor = plan[score]
        law = 2.5 + 3.0 * (channels / SCALE.widths[0]) ** -0.6
        last = factor if channels == SCALE.widths[-1] else 1.0
        if part != "1/1":
            last = 5.0  # what earlier checkpoints have is not fitted
        level = law * last * (1 + noise_size * noise(labels["seed"], score, channels) / STEP)
        return {"frechet": {"value": level}} if score == "fd" else {"bits": level}

    return planted(Scaling(), result)


@pytest.mark.parametrize(
    ("fd", "bits", "expected"),
    [
        ((0.001, 1.0), (0.0001, 1.0), "++"),
        ((0.001, 1.09), (0.0001, 1.008), "++"),
        ((0.001, 1.15), (0.0001, 1.0), "-+"),
        ((0.001, 0.87), (0.0001, 1.0), "-+"),
        ((0.1, 1.0), (0.0001, 1.0), "?+"),
        ((0.001, 1.0), (0.0001, 1.015), "+-"),
        ((0.001, 1.0), (0.0001, 0.987), "+-"),
        ((0.001, 1.0), (0.01, 1.0), "+?"),
    ],
)
def test_each_score_has_its_own_verdict(
    fd: tuple[float, float], bits: tuple[float, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "RESAMPLES", 40)
    assert verdicts(Scaling().conclude(SCALE, measured(fd, bits))) == expected
