from __future__ import annotations

import numpy as np
import pytest
import torch

import iddpm
from iddpm.config import DatasetSpec
from iddpm.data import ArrayDataset, Splits, open_source
from iddpm.data.dataset import Rows
from iddpm.data.scaling import Levels
from iddpm.evaluation.features import Embedded, FeatureNetwork
from iddpm.evaluation.images import (
    ImageSet,
    collect,
    default_features,
    images_of_data,
    images_of_model,
    in_levels,
)
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.results import result_of
from iddpm.evaluation.statistics import Statistics
from iddpm.progress import Progress, finish
from iddpm.sampling import SamplerOptions
from tests.training.tiny import tiny


class Corners(FeatureNetwork):
    """Four pixels as features."""

    name = "corners"
    weights = "0"
    notes = {}  # noqa: RUF012

    def embed(self, items: Levels, levels: int) -> Embedded:
        corners = torch.from_numpy(items[:, 0, 2:4, 3:5].astype(np.float32) / (levels - 1)).flatten(1)
        return Embedded(corners, logits=corners, spatial=2 * corners)


@pytest.fixture(scope="module")
def digits() -> Splits:
    return open_source(iddpm.preset("digits").data)


def look(images: ImageSet, keep_features: bool = True) -> Statistics:
    shown: list[Progress] = []
    statistics = finish(collect(images, Corners(), keep_features=keep_features), shown.append)
    assert [progress.done for progress in shown] == sorted({progress.done for progress in shown})
    assert shown[-1] == Progress("looking at 1,497 images of digits", 1497, 1497)
    return statistics


def test_images_of_data_come_in_batches_and_are_kept_as_statistics(digits: Splits) -> None:
    whole = look(images_of_data(digits.train, {"source": "digits"}, batch_size=100))
    small = look(images_of_data(digits.train, {"source": "digits"}, batch_size=64), keep_features=False)
    assert whole.features is not None
    assert whole.features.shape == (len(digits.train), 4)
    assert small.features is None
    assert torch.allclose(whole.moments.covariance, small.moments.covariance, rtol=1e-10)
    assert torch.allclose(whole.moments.covariance, Moments.of(whole.features).covariance, rtol=1e-10)
    assert whole.spatial is not None
    assert torch.allclose(whole.spatial.mean, 2 * whole.moments.mean)
    assert whole.manifest["images"] == {
        **{"kind": "data", "source": "digits", "of": 1497, "channels": 1, "size": [8, 8], "levels": 17, "count": 1497},
        "content": small.manifest["images"]["content"],
    }
    part = images_of_data(digits.train, {"source": "digits"}, count=3)
    assert np.array_equal(finish(next(part.batches)), digits.train.items(np.array([0, 748, 1496])))
    with pytest.raises(iddpm.UserError, match="count: must be 1 ... 1497, the images of digits, got 2000"):
        images_of_data(digits.train, {"source": "digits"}, count=2000)


def test_of_very_many_images_some_features_are_kept(digits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.images.MOST_SAMPLES", 100)
    some = look(images_of_data(digits.train, {"source": "digits"}, batch_size=64))
    assert some.features is not None
    assert some.features.shape == (100, 4)
    assert some.moments.count == 1497
    last = Corners().embed(digits.train.items(np.array([1496])), 17).features
    assert torch.equal(some.features[-1:], last)


def test_samples_of_a_model_are_those_of_sample_in_levels(digits: Splits) -> None:
    model = iddpm.Model.from_config(tiny(), digits.spec)
    options = SamplerOptions(steps="4")
    images = images_of_model(model, options, {"source": "here"}, count=5, seed=3, batch_size=2)
    shown: list[Progress] = []
    drawn = np.concatenate([finish(work, shown.append) for work in images.batches])
    assert shown == [Progress("sampling", done, 3 * 4) for done in range(1, 13)]
    assert np.array_equal(drawn, iddpm.quantize(iddpm.sample(model, 5, seed=3, steps="4"), 17))
    assert (images.images["seed"], images.images["precision"]) == (3, "float32")
    assert (images.images["steps"], images.images["weights"], images.images["training step"]) == (4, "raw", 0)
    with torch.no_grad():
        next(model.network.parameters()).fill_(torch.nan)
    with pytest.raises(iddpm.UserError, match="samples: here draws images that are not finite numbers"):
        finish(next(images_of_model(model, options, {"source": "here"}, count=2, seed=0).batches))


def test_pictures_of_digits_are_digits_again(digits: Splits) -> None:
    spec = digits.spec.model_copy(update={"levels": 256})
    items = digits.train.items(np.arange(20))
    pictures = ArrayDataset(spec, (items * (255 / 16)).round().astype(np.uint8))
    again = in_levels(images_of_data(pictures, {}), 17)
    assert np.array_equal(finish(next(again.batches)), items)
    assert (again.spec.levels, again.images["made from levels"]) == (17, 256)


def test_evaluate(digits: Splits) -> None:
    assert digits.validation is not None
    train = Rows(digits.train, np.arange(0, 1497, 4))
    real = iddpm.evaluate(digits.validation, train, Corners())
    noise = iddpm.evaluate(torch.rand(300, 1, 8, 8) * 2 - 1, train, Corners())
    assert (real.generated, real.real) == (300, 375)
    assert noise.scores["frechet"].value > 5 * real.scores["frechet"].value
    assert real.p_same is not None
    assert real.p_same > 0.05
    result = result_of(real, {"a": 1}, {"b": 2})
    low, high = result["scores"]["frechet"]["interval"]
    assert low < result["scores"]["frechet"]["value"] < high
    with pytest.raises(iddpm.UserError, match="samples: some numbers are not finite"):
        iddpm.evaluate(torch.full((300, 1, 8, 8), torch.nan), train, Corners())
    with pytest.raises(iddpm.UserError, match="its images are 8x8x1 .*, and the samples 9x9x1"):
        iddpm.evaluate(torch.zeros(300, 1, 9, 9), train, Corners())
    with pytest.raises(iddpm.UserError, match="samples: scores need at least 100 images, got 20"):
        iddpm.evaluate(torch.zeros(20, 1, 8, 8), train, Corners())
    with pytest.raises(iddpm.UserError, match="samples: all 300 images look the same"):
        iddpm.evaluate(torch.zeros(300, 1, 8, 8), train, Corners())


@pytest.mark.parametrize(
    ("size", "classes", "expected"),
    [((8, 8), ("a", "b"), "classifier"), ((8, 8), (), "inception"), ((32, 32), ("a", "b"), "inception"),
     ((100,), ("a", "b"), "classifier")],
)  # fmt: skip
def test_features_that_suit_the_data(size: tuple[int, ...], classes: tuple[str, ...], expected: str) -> None:
    assert default_features(DatasetSpec(channels=1, size=size, levels=256, class_names=classes)) == expected
