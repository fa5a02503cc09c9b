from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import open_source
from iddpm.evaluation import features
from iddpm.evaluation.classifier import Classifier
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.progress import finish


def test_a_classifier_is_trained_once_and_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 5)
    splits = open_source(DataConfig(source="digits"))
    folder = tmp_path / "cache"
    first = finish(ClassifierFeatures.for_data(splits.train, splits.fingerprint(), folder))
    (path,) = folder.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(features, "train_classifier", lambda data: pytest.fail("it is there already"))
        again = finish(ClassifierFeatures.for_data(splits.train, splits.fingerprint(), folder))
    assert (first.name, first.weights, first.notes) == ("classifier", again.weights, again.notes)
    items = splits.train.items(np.arange(5))
    assert torch.equal(first.embed(items, 17).features, again.embed(items, 17).features)
    logits = first.embed(items, 17).logits
    assert logits is not None
    assert logits.shape == (5, 10)
    path.write_bytes(path.read_bytes()[:1000])
    assert finish(ClassifierFeatures.for_data(splits.train, splits.fingerprint(), folder)).weights == first.weights
    assert len(path.read_bytes()) > 1000


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 5)
    splits = open_source(DataConfig(source="digits"))
    (tmp_path / "file").touch()
    features = finish(ClassifierFeatures.for_data(splits.train, "a", tmp_path / "file" / "cache"))
    assert (features.name, list(tmp_path.iterdir())) == ("classifier", [tmp_path / "file"])


def test_the_number_of_levels_does_not_matter() -> None:
    spec = DatasetSpec(channels=1, size=(8, 8), levels=17, class_names=("a", "b"))
    network = ClassifierFeatures(Classifier(spec).requires_grad_(False), 0.5)
    items = np.arange(64).reshape(1, 1, 8, 8) % 17
    few = network.embed(items.astype(np.uint8), 17)
    many = network.embed((items * 4096).astype(np.uint32), 16 * 4096 + 1)
    assert torch.allclose(few.features, many.features)
    again = ClassifierFeatures.from_bytes(network.to_bytes())
    assert again.manifest() == network.manifest()
    with pytest.raises(ValueError, match="no classifier"):
        ClassifierFeatures.from_bytes(network.to_bytes()[:200])
    with pytest.raises(ValueError, match="no classifier"):
        ClassifierFeatures.from_bytes(b"")


def test_other_weights_have_another_hash() -> None:
    network = torch.nn.Linear(3, 2)
    before = features.hash_of(network)
    assert features.hash_of(network) == before
    with torch.no_grad():
        network.bias[0] += 1
    assert features.hash_of(network) != before
