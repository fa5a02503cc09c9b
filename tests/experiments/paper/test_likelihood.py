"""The verdicts on likelihoods, on planted bits/dim."""

import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.likelihood import Likelihood

from .planted import CLEAR, SCALE, planted, value, verdicts

HYBRID, VLB, CNN, TRANSFORMER = "diffusion, L_hybrid", "diffusion, L_vlb", "PixelCNN", "transformer"
HOLDS = {HYBRID: 3.0, VLB: 3.0, CNN: 3 + CLEAR, TRANSFORMER: 3 - CLEAR}
"""Bits/dim such that every claim of the paper holds."""


def measured(bits: dict[str, float]) -> list[Measured]:
    def result(labels: dict[str, Label], measure: str) -> JSON:
        model = str(labels["model"])
        return {"bits": value(bits[model], labels["seed"], model), "items": 256}

    return planted(Likelihood(), result)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "++++"),
        ({CNN: 3 - CLEAR}, "--++"),
        ({CNN: 3.0}, "??++"),
        ({TRANSFORMER: 3 + CLEAR}, "++--"),
        ({TRANSFORMER: 3.0}, "++??"),
        ({HYBRID: 3 + 2 * CLEAR}, "-+++"),
        ({VLB: 3 + 2 * CLEAR}, "+-++"),
        ({HYBRID: 3 - 2 * CLEAR}, "++-+"),
        ({VLB: 3 - 2 * CLEAR}, "+++-"),
    ],
)
def test_each_comparison(changes: dict[str, float], expected: str) -> None:
    assert verdicts(Likelihood().conclude(SCALE, measured({**HOLDS, **changes}))) == expected
