"""The verdicts on coverage, on planted scores."""

from collections.abc import Sequence

import pytest

from iddpm.experiments.experiment import JSON, Label, Measured
from iddpm.experiments.paper.coverage import DIFFUSION, GAN, Coverage

from .planted import CLEAR, SCALE, SEEDS, STEP, planted, value, verdicts


def measured(recall: Sequence[float], distance: Sequence[float], error: float, seeds: int) -> list[Measured]:
    """Recall and FD of the diffusion model and the GAN; all other scores are the other way round."""

    def result(labels: dict[str, Label], measure: str) -> JSON:
        model, seed = labels["model"], labels["seed"]
        at = [DIFFUSION, GAN].index(str(model))
        expected = {"frechet": distance[at], "recall": recall[at], "precision": -recall[at], "coverage": -recall[at]}
        scores = {name: {"value": value(it, seed, name, model), "error": error} for name, it in expected.items()}
        return {**scores, "count": 1000}

    return planted(Coverage(), result, seeds=seeds)


@pytest.mark.parametrize(
    ("recall", "expected"), [((0.6 + CLEAR, 0.6), "++"), ((0.6 - CLEAR, 0.6), "-+"), ((0.6, 0.6), "?+")]
)
def test_recall_over_seeds(recall: Sequence[float], expected: str) -> None:
    """Errors of single scores, however large, do not matter: seeds tell."""
    assert verdicts(Coverage().conclude(SCALE, measured(recall, (10, 10), 10.0, SEEDS))) == expected


@pytest.mark.parametrize(
    ("recall", "error", "expected"),
    [((0.8, 0.6), 5 * STEP, "++"), ((0.6, 0.8), 5 * STEP, "-+"), ((0.8, 0.6), 0.2, "?+"), ((0.6, 0.8), 0.2, "?+")],
)
def test_recall_of_one_seed_goes_by_its_error(recall: Sequence[float], error: float, expected: str) -> None:
    assert verdicts(Coverage().conclude(SCALE, measured(recall, (10, 10), error, 1))) == expected


@pytest.mark.parametrize(
    ("distance", "expected"), [((19, 10), "++"), ((21, 10), "+-"), ((10, 19), "++"), ((10, 21), "+-")]
)
def test_distances_are_compared_both_ways(distance: Sequence[float], expected: str) -> None:
    assert verdicts(Coverage().conclude(SCALE, measured((0.6 + CLEAR, 0.6), distance, 1.0, SEEDS))) == expected
