from __future__ import annotations

import pytest
import torch

from iddpm.evaluation.metrics.inception_score import inception_score


def test_closed_forms() -> None:
    certain = torch.eye(4).repeat(250, 1) * 1e3
    assert inception_score(certain, parts=1).value == pytest.approx(4)  # sure of every image, and all classes alike
    assert inception_score(torch.zeros(1000, 4)).value == pytest.approx(1)  # sure of nothing
    one = torch.zeros(1000, 4)
    one[:, 2] = 1e3
    assert inception_score(one).value == pytest.approx(1)  # always the same class
    parts = inception_score(certain)
    assert 3.8 < parts.value < 4
    assert 0 < parts.spread < 0.1
