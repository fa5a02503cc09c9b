from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import jackknife


def test_error_of_a_difference_of_means() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2000, generator=generator) * 2, torch.randn(1000, generator=generator)

    def score(first: Tensor, second: Tensor) -> dict[str, float]:
        return {"difference": float(a[first].mean() - b[second].mean()), "always": 1.0}

    *progress, found = jackknife(score, 2000, 1000)
    assert progress == [None] * 20
    assert found is not None
    expected = float((a.var() / 2000 + b.var() / 1000) ** 0.5)
    assert found["difference"] == pytest.approx(expected, rel=0.35)
    assert found["always"] == 0
