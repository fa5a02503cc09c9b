from __future__ import annotations

import pytest
import torch

from iddpm.errors import UserError
from iddpm.evaluation.scores import Scores, score_sets


def draw(rows: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)) + shift


def scores(generated: torch.Tensor, real: torch.Tensor) -> Scores:
    *progress, found = score_sets(generated, real)
    assert progress[-1] == (len(progress), len(progress))
    assert isinstance(found, Scores)
    return found


def test_halves_of_one_set_and_another_set() -> None:
    same, other = scores(draw(300, 0), draw(250, 1)), scores(draw(300, 0, 2.0), draw(250, 1))
    assert (same.generated, same.real) == (300, 250)
    assert same.p_same > 0.05
    assert other.p_same < 0.01
    assert other.estimates["frechet"].value == pytest.approx(6 * 4, rel=0.15)
    assert other.estimates["precision"].value < same.estimates["precision"].value
    assert other.kernel.mean > 10 * abs(same.kernel.mean)
    assert other.infinite.distance == pytest.approx(6 * 4, rel=0.15)
    assert all(0 < estimate.error < 1 for estimate in same.estimates.values())


def test_errors_are_those_of_drawing_anew() -> None:
    """The jackknife's error beside how much the score really differs from draw to draw."""
    found = [scores(draw(200, seed), draw(200, 1000 + seed, 0.7)).estimates for seed in range(12)]
    for name in ("frechet", "precision", "recall", "coverage"):
        values = torch.tensor([estimates[name].value for estimates in found])
        errors = torch.tensor([estimates[name].error for estimates in found])
        assert 0.5 < float(errors.mean() / values.std()) < 2, name


def test_copies_are_found_out() -> None:
    real = draw(300, 0)
    copies = real[:150] + 1e-4 * draw(150, 1)
    assert scores(copies, real).estimates["authenticity"].value < 0.01
    assert scores(draw(150, 2), real).estimates["authenticity"].value > 0.4


def test_sets_that_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="samples: scores need at least 100 images, got 99"):
        next(score_sets(draw(99, 0), draw(100, 1)))
    broken = draw(100, 1)
    broken[3, 2] = torch.nan
    with pytest.raises(UserError, match="reference: features are not finite"):
        next(score_sets(draw(100, 0), broken))
    with pytest.raises(UserError, match="all 100 images look the same"):
        next(score_sets(draw(1, 0).expand(100, 6), draw(100, 1)))
