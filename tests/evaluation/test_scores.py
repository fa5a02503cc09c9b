from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from iddpm.errors import UserError
from iddpm.evaluation.metrics.inception_score import InceptionScore
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.scores import Scores, score_sets
from iddpm.evaluation.statistics import Statistics


def draw(rows: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)) + shift


def statistics(features: torch.Tensor) -> Statistics:
    return Statistics({}, Moments.of(features), features)


def scores(generated: torch.Tensor, real: torch.Tensor) -> Scores:
    *progress, found = score_sets(statistics(generated), statistics(real))
    assert progress[-1] == (len(progress), len(progress))
    assert isinstance(found, Scores)
    return found


def test_halves_of_one_set_and_another_set() -> None:
    same, other = scores(draw(300, 0), draw(250, 1)), scores(draw(300, 0, 2.0), draw(250, 1))
    assert (same.generated, same.real) == (300, 250)
    assert same.p_same is not None
    assert other.p_same is not None
    assert same.p_same > 0.05
    assert other.p_same < 0.01
    assert other.estimates["frechet"].value == pytest.approx(6 * 4, rel=0.15)
    assert other.estimates["precision"].value < same.estimates["precision"].value
    assert other.estimates["kernel"].value > 10 * abs(same.estimates["kernel"].value)
    assert other.estimates["frechet_infinite"].value == pytest.approx(6 * 4, rel=0.15)
    assert all(estimate.error is not None and 0 < estimate.error < 1 for estimate in same.estimates.values())
    low, high = other.estimates["frechet"].interval or (0, 0)
    assert low < other.estimates["frechet"].value < high


@pytest.mark.parametrize("most", [3000, 150])
def test_errors_are_those_of_drawing_anew(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jackknife's error beside how much the score really differs from draw to draw, on all images and on some."""
    monkeypatch.setattr("iddpm.evaluation.scores.MOST_FOR_ERRORS", most)
    found = [scores(draw(250, seed), draw(250, 1000 + seed, 0.7)).estimates for seed in range(12)]
    for name in ("frechet", "kernel", "precision", "recall", "coverage"):
        values = torch.tensor([estimates[name].value for estimates in found])
        errors = torch.tensor([estimates[name].error for estimates in found])
        assert 0.5 < float(errors.mean() / values.std()) < 2, name


def test_moments_alone_give_distances() -> None:
    first, second = statistics(draw(300, 0)), statistics(draw(250, 1, 0.5))
    spatial = Moments.of(draw(300, 5))
    *_, whole = score_sets(first, second)
    *_, part = score_sets(
        replace(first, spatial=spatial, inception=InceptionScore(5, 1)), replace(second, features=None, spatial=spatial)
    )
    assert isinstance(part, Scores)
    assert isinstance(whole, Scores)
    assert set(part.estimates) == {"frechet", "frechet_infinite", "spatial_frechet", "inception"}
    assert part.estimates["frechet"].value == whole.estimates["frechet"].value
    assert part.estimates["spatial_frechet"].value == pytest.approx(0, abs=1e-9)
    assert part.p_same is None
    with pytest.raises(UserError, match="samples: the file holds no features"):
        next(score_sets(replace(first, features=None), second))


def test_copies_are_found_out() -> None:
    real = draw(300, 0)
    copies = real[:150] + 1e-4 * draw(150, 1)
    assert scores(copies, real).estimates["authenticity"].value < 0.01
    assert scores(draw(150, 2), real).estimates["authenticity"].value > 0.4


def test_sets_that_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="samples: scores need at least 100 images, got 99"):
        scores(draw(99, 0), draw(100, 1))
    broken = draw(100, 1)
    broken[3, 2] = torch.nan
    with pytest.raises(UserError, match="reference: features are not finite"):
        scores(draw(100, 0), broken)
    with pytest.raises(UserError, match="all 100 images look the same"):
        scores(draw(1, 0).expand(100, 6), draw(100, 1))
