from __future__ import annotations

import numpy as np
import pytest
import torch

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import open_source
from iddpm.data.dataset import ArrayDataset
from iddpm.errors import UserError
from iddpm.evaluation.classifier import DIMENSIONS, train_classifier
from iddpm.progress import Progress, finish


@pytest.mark.slow
def test_tells_digits_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 120)
    monkeypatch.setattr("iddpm.evaluation.classifier.WIDTH", 16)
    data = open_source(DataConfig(source="digits")).train
    network, accuracy = finish(train_classifier(data))
    assert accuracy > 0.8  # 0.99 with all 600 steps and 32 channels
    items = torch.from_numpy(data.items(np.arange(7)).astype(np.float32)) / 16
    assert network.embed(items).shape == (7, DIMENSIONS)
    assert network(items).shape == (7, 10)


def test_is_the_same_again_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 5)
    data = open_source(DataConfig(source="digits")).train
    random_state = torch.random.get_rng_state()
    first, accuracy = finish(train_classifier(data))
    shown: list[Progress] = []
    torch.set_num_threads(2)
    second, again = finish(train_classifier(data), shown.append)
    assert torch.get_num_threads() == 2
    assert shown == [Progress("training a classifier of 10 classes", step, 5) for step in range(1, 6)]
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert accuracy == again
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("size", [(37,), (3, 3), (5, 8, 9)])
def test_any_shape(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 40)
    monkeypatch.setattr("iddpm.evaluation.classifier.WIDTH", 8)
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    levels = generator.integers(0, 100, (60, 2, *size)) + 100 * labels.reshape(60, *[1] * (1 + len(size)))
    spec = DatasetSpec(channels=2, size=size, levels=256, class_names=("dark", "bright"))
    _, accuracy = finish(train_classifier(ArrayDataset(spec, levels.astype(np.uint8), labels.astype(np.int64))))
    assert accuracy == 1


def test_data_without_classes() -> None:
    spec = DatasetSpec(channels=1, size=(4, 4), levels=256)
    with pytest.raises(UserError, match="needs data with classes"):
        finish(train_classifier(ArrayDataset(spec, np.zeros((5, 1, 4, 4), dtype=np.uint8))))
