from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from iddpm.errors import UserError
from iddpm.evaluation.metrics.metric import FeatureSet, QualityScore
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.scores import SampleQuality, distance, score_sets
from iddpm.progress import Progress, finish


def draw(rows: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed)) + shift


def judge(generated: torch.Tensor, real: torch.Tensor) -> SampleQuality:
    return finish(score_sets(FeatureSet.of(generated), FeatureSet.of(real)))


def test_halves_of_one_set_and_another_set() -> None:
    same, other = judge(draw(300, 0), draw(250, 1)), judge(draw(300, 0, 2.0), draw(250, 1))
    assert (same.generated, same.real) == (300, 250)
    assert same.p_same is not None
    assert other.p_same is not None
    assert same.p_same > 0.05
    assert other.p_same < 0.01
    assert other.scores["frechet"].value == pytest.approx(6 * 4, rel=0.15)
    assert other.scores["precision"].value < same.scores["precision"].value
    assert other.scores["kernel"].value > 10 * abs(same.scores["kernel"].value)
    assert other.scores["frechet_infinite"].value == pytest.approx(6 * 4, rel=0.15)
    assert all(score.error is not None and 0 < score.error < 1 for score in same.scores.values())
    low, high = other.scores["frechet"].interval or (0, 0)
    assert low < other.scores["frechet"].value < high


@pytest.fixture(scope="module")
def repeated() -> list[dict[str, QualityScore]]:
    """The scores of the same two distributions, each time drawn anew."""
    return [judge(draw(250, seed), draw(250, 1000 + seed, 0.7)).scores for seed in range(12)]


REPEATED = ("frechet", "kernel", "precision", "recall", "coverage")


@pytest.mark.slow
def test_errors_are_those_of_drawing_anew(repeated: list[dict[str, QualityScore]]) -> None:
    """The jackknife's error is about as large as what the score really differs by from draw to draw."""
    for name in REPEATED:
        values = torch.tensor([scores[name].value for scores in repeated])
        errors = torch.tensor([scores[name].error for scores in repeated])
        assert 0.5 < float(errors.mean() / values.std()) < 2, name


@pytest.mark.slow
def test_errors_worked_out_on_some_images_are_scaled_to_all(
    repeated: list[dict[str, QualityScore]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iddpm.evaluation.scores.MOST_FOR_ERRORS", 150)
    some = [judge(draw(250, seed), draw(250, 1000 + seed, 0.7)).scores for seed in range(4)]
    for name in REPEATED:
        errors = [torch.tensor([scores[name].error for scores in sets]).mean() for sets in (some, repeated)]
        assert some[0][name].value == repeated[0][name].value
        assert 0.6 < float(errors[0] / errors[1]) < 1.7, name


@pytest.mark.slow
def test_the_distance_alone_is_that_of_all_scores(repeated: list[dict[str, QualityScore]]) -> None:
    sets = FeatureSet.of(draw(250, 0)), FeatureSet.of(draw(250, 1000, 0.7))
    assert finish(distance(*sets)) == repeated[0]["frechet"]


def test_progress_counts_errors_and_then_scores() -> None:
    shown: list[Progress] = []
    finish(score_sets(FeatureSet.of(draw(100, 0)), FeatureSet.of(draw(100, 1))), shown.append)
    expected = [("estimating errors", 20), ("scoring", 5)]
    assert shown == [Progress(what, done + 1, total) for what, total in expected for done in range(total)]


def test_moments_alone_give_distances() -> None:
    first, second = FeatureSet.of(draw(300, 0)), FeatureSet.of(draw(250, 1, 0.5))
    spatial = Moments.of(draw(300, 5))
    whole = finish(score_sets(first, second))
    samples = replace(first, spatial=spatial, inception=QualityScore(5, spread=1))
    part = finish(score_sets(samples, replace(second, features=None, spatial=spatial)))
    assert set(part.scores) == {"frechet", "frechet_infinite", "spatial_frechet", "inception"}
    assert part.scores["frechet"].value == whole.scores["frechet"].value
    assert part.scores["spatial_frechet"].value == pytest.approx(0, abs=1e-9)
    assert part.p_same is None
    assert (part.settings["errors"], whole.settings["errors"]) == ("of samples", "of both sets")
    with pytest.raises(
        UserError, match="samples: the file holds the moments of features alone; make .* without moments_"
    ):
        next(score_sets(replace(first, features=None), second))


def test_copies_are_found_out() -> None:
    real = draw(300, 0)
    copies = real[:150] + 1e-4 * draw(150, 1)
    assert judge(copies, real).scores["authenticity"].value < 0.01
    assert judge(draw(150, 2), real).scores["authenticity"].value > 0.4


def test_sets_that_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="samples: scores need at least 100 images, got 99"):
        judge(draw(99, 0), draw(100, 1))
    broken = draw(100, 1)
    broken[3, 2] = torch.nan
    with pytest.raises(UserError, match="reference: features are not finite"):
        judge(draw(100, 0), broken)
    with pytest.raises(UserError, match="all 100 images look the same"):
        judge(draw(1, 0).expand(100, 6), draw(100, 1))
