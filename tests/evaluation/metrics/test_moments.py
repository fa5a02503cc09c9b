from __future__ import annotations

import torch

from iddpm.evaluation.metrics.moments import Moments


def test_streamed_equal_two_passes() -> None:
    torch.manual_seed(0)
    features = torch.randn(1000, 12) * torch.linspace(0.1, 30, 12) + 1e4  # a large mean: sums of squares would fail
    parts = features.split([1, 7, 300, 692])
    streamed = Moments.none(12)
    for part in parts:
        streamed = streamed + Moments.of(part)
    wide = features.double()
    mean = wide.mean(dim=0)
    torch.testing.assert_close(streamed.mean, mean, rtol=1e-14, atol=0)
    expected = (wide - mean).T @ (wide - mean) / 999
    torch.testing.assert_close(streamed.covariance, expected, rtol=0, atol=1e-10 * float(expected.max()))
    assert streamed.count == 1000


def test_merged_in_any_order() -> None:
    torch.manual_seed(0)
    a, b, c = (Moments.of(torch.randn(n, 5, dtype=torch.float64)) for n in (3, 40, 17))
    for merged in (a + (b + c), (c + a) + b, Moments.none(5) + c + b + a):
        torch.testing.assert_close(merged.scatter, (a + b + c).scatter, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(merged.mean, (a + b + c).mean, rtol=1e-12, atol=1e-12)
