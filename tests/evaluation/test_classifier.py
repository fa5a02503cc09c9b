from __future__ import annotations

import numpy as np
import pytest
import torch

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import open_source
from iddpm.data.dataset import ArrayDataset
from iddpm.errors import UserError
from iddpm.evaluation.classifier import DIMENSIONS, train_classifier


def test_names_digits_and_is_the_same_again() -> None:
    data = open_source(DataConfig(source="digits")).train
    before = torch.random.get_rng_state()
    first = train_classifier(data)
    steps: list[tuple[int, int]] = []
    before_it = torch.get_num_threads()
    threads = before_it % 2 + 1
    torch.set_num_threads(threads)  # how many there are makes no difference
    try:
        second = train_classifier(data, lambda done, count: steps.append((done, count)))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before_it)
    assert steps[-1] == (len(steps), len(steps))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.accuracy > 0.95
    for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(a, b)
    items = torch.from_numpy(data.items(np.arange(7)).astype(np.float32)) / 16
    assert first.network.embed(items).shape == (7, DIMENSIONS)
    assert first.network(items).shape == (7, 10)


@pytest.mark.parametrize("size", [(37,), (3, 3), (5, 8, 9)])
def test_any_shape(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 40)
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    levels = generator.integers(0, 100, (60, 2, *size)) + 100 * labels.reshape(60, *[1] * (1 + len(size)))
    spec = DatasetSpec(channels=2, size=size, levels=256, class_names=("dark", "bright"))
    found = train_classifier(ArrayDataset(spec, levels.astype(np.uint8), labels.astype(np.int64)))
    assert found.accuracy == 1


def test_data_without_classes() -> None:
    spec = DatasetSpec(channels=1, size=(4, 4), levels=256)
    with pytest.raises(UserError, match="needs data with classes"):
        train_classifier(ArrayDataset(spec, np.zeros((5, 1, 4, 4), dtype=np.uint8)))
