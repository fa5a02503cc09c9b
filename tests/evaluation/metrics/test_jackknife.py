from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iddpm.evaluation.metrics.jackknife import jackknife
from iddpm.progress import Progress, finish


def test_error_of_a_difference_of_means() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2000, generator=generator) * 2, torch.randn(1000, generator=generator)

    def score(first: Tensor, second: Tensor) -> dict[str, float]:
        return {"difference": float(a[first].mean() - b[second].mean()), "always": 1.0}

    shown: list[Progress] = []
    errors = finish(jackknife(score, 2000, 1000), shown.append)
    assert shown == [Progress("estimating errors", group, 20) for group in range(1, 21)]
    expected = float((a.var() / 2000 + b.var() / 1000) ** 0.5)
    assert errors["difference"] == pytest.approx(expected, rel=0.35)
    assert errors["always"] == 0
