"""The verdicts on where the bound lies, on planted terms and chains."""

import pytest
import torch

from iddpm.diffusion import NoiseSchedule
from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper import bound_by_step
from iddpm.experiments.paper.bound_by_step import BoundByStep

from .planted import SCALE, planted, verdicts


def measured(first: dict[tuple[Label, Label], float]) -> list[Measured]:
    """first: the share of the bound in the first 5 of 100 steps by schedule and seed, 0.6 if not in here."""

    def result(labels: dict[str, Label], measure: str) -> JSON:
        share = first.get((labels["schedule"], labels["seed"]), 0.6)
        terms = [3 * share / 5] * 5 + [3 * (1 - share) / 95] * 95
        return {"terms": terms, "timesteps": list(range(100))}

    return planted(BoundByStep(), result)


@pytest.mark.parametrize(
    ("first", "expected"),
    [({}, "++"), ({("linear", 3): 0.49}, "-+"), ({("cosine", 0): 0.49}, "-+"), ({("linear", 3): 0.51}, "++")],
)
def test_the_first_steps_hold_more_than_half_in_every_run(
    first: dict[tuple[Label, Label], float], expected: str
) -> None:
    assert verdicts(BoundByStep().conclude(SCALE, measured(first))) == expected


@pytest.mark.parametrize(
    ("step", "times", "expected"), [(500, 1, "++"), (500, 20, "++"), (500, 30, "+-"), (40, 30, "++")]
)
def test_variances_are_compared_beyond_the_first_steps(
    step: int, times: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many equal, small betas is so many times as large: the posterior's is step / (step + times) of it."""

    def chain(length: int) -> NoiseSchedule:
        betas = torch.full((length,), 1e-6, dtype=torch.float64)
        if length == bound_by_step.LENGTHS[1]:
            betas[step] *= times
        return NoiseSchedule(betas, torch.arange(length), length)

    monkeypatch.setattr(bound_by_step, "cosine_schedule", chain)
    assert verdicts(BoundByStep().conclude(SCALE, measured({}))) == expected


def test_shares_are_of_the_sum() -> None:
    terms = [float(term) for term in range(1000, 0, -1)]
    expected = [sum(terms[: round(1000 * share)]) / sum(terms) for share in bound_by_step.FIRST]
    assert bound_by_step.first_shares(terms) == pytest.approx(expected)
