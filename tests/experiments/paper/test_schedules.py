"""The verdict on skipping the noisy end of the chain, on planted Frechet distances."""

import math

import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.schedules import TOLD, Schedules, skipping

from .planted import CLEAR, SCALE, planted, value, verdicts


def measured(rises: dict[str, float]) -> list[Measured]:
    """rises: by how much skipping raises the logarithm of FD; skipping other shares does it the other way round."""

    def result(labels: dict[str, Label], measure: str) -> JSON:
        schedule, rise = labels["schedule"], 0.0
        if measure != skipping(0.0):
            rise = rises[str(schedule)] * (1 if measure == skipping(TOLD) else -3)
        logarithm = value(3 * (schedule == "linear") + rise, labels["seed"], str(schedule), measure)
        return {"frechet": {"value": math.exp(logarithm)}}

    return planted(Schedules(), result)


@pytest.mark.parametrize(
    ("linear", "cosine", "expected"), [(0.1, 0.1 + 2 * CLEAR, "+"), (0.1 + 2 * CLEAR, 0.1, "-"), (0.1, 0.1, "?")]
)
def test_the_linear_schedule_loses_less(linear: float, cosine: float, expected: str) -> None:
    assert verdicts(Schedules().conclude(SCALE, measured({"linear": linear, "cosine": cosine}))) == expected
