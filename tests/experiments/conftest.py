"""Features of a classifier that nobody has trained: its training is tested elsewhere, and takes long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from iddpm.data import Dataset
from iddpm.evaluation.classifier import Classifier
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.progress import Work, ready


@pytest.fixture(scope="module", autouse=True)
def _untrained_features() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierFeatures, "trained_on", untrained)
        yield


def untrained(data: Dataset) -> Work[ClassifierFeatures]:
    assert torch.is_grad_enabled(), "it could not be trained"
    return ready(ClassifierFeatures(Classifier(data.spec).eval(), 0.5))
