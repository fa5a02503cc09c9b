"""The verdicts on few steps, on planted Frechet distances."""

import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.sampling_speed import COUNTS, CURVES, SamplingSpeed

from .planted import CLEAR, SCALE, planted, value, verdicts

COUNT = COUNTS[SCALE.name]
SMALLER, LARGER, DDIM, HYBRID, HYBRID_DDIM, VLB = CURVES
FIRST, LAST = 0, len(COUNT) - 1
WITHIN = 3
"""The place of the number of steps that is compared with all of them."""
HOLDS = {
    **{(HYBRID, place): 10.0 for place in range(len(COUNT))},
    **{(curve, place): 10 + CLEAR for curve in (SMALLER, LARGER) for place in range(3)},
    (HYBRID, WITHIN): 11 - 2 * CLEAR,
    (DDIM, FIRST): 10 - CLEAR,
    (DDIM, LAST): 10 + CLEAR,
    (VLB, LAST): 10 + CLEAR,
}
"""FD by curve and number of steps, such that every claim of the paper holds."""


def measured(changes: dict[tuple[str, int], float], other: float) -> list[Measured]:
    """other: what stands where no claim looks."""
    distances = {**HOLDS, **changes}
    places = {f"{curve}, {count} steps": (curve, place) for curve in CURVES for place, count in enumerate(COUNT)}

    def result(labels: dict[str, Label], measure: str) -> JSON:
        place = places[measure]
        return {"frechet": {"value": value(distances.get(place, other), labels["seed"], *place)}}

    return planted(SamplingSpeed(), result)


FEW = range(3)


@pytest.mark.parametrize("other", [1.0, 100.0])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "+++++"),
        ({(SMALLER, place): 10 - CLEAR for place in FEW}, "-++++"),
        ({(LARGER, place): 10 - CLEAR for place in FEW}, "-++++"),
        ({(SMALLER, place): 10.0 for place in FEW}, "?++++"),
        ({(HYBRID, WITHIN): 11 + 2 * CLEAR}, "+-+++"),
        ({(HYBRID, WITHIN): 11.0}, "+?+++"),
        ({(DDIM, FIRST): 10 + CLEAR}, "++-++"),
        ({(DDIM, FIRST): 10.0}, "++?++"),
        ({(DDIM, LAST): 10 - CLEAR}, "+++-+"),
        ({(DDIM, LAST): 10.0}, "+++?+"),
        ({(VLB, LAST): 10 - CLEAR}, "++++-"),
        ({(VLB, LAST): 10.0}, "++++?"),
    ],
)
def test_each_comparison(changes: dict[tuple[str, int], float], expected: str, other: float) -> None:
    assert verdicts(SamplingSpeed().conclude(SCALE, measured(changes, other))) == expected
