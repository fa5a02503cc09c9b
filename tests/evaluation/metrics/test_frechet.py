from __future__ import annotations

import pytest
import torch

from iddpm.evaluation.metrics.frechet import extrapolated_distance, frechet_distance
from iddpm.evaluation.metrics.moments import Moments


def gaussian(mean: torch.Tensor, covariance: torch.Tensor) -> Moments:
    return Moments(2, mean.double(), covariance.double())


def test_closed_forms() -> None:
    # In one dimension (m_a - m_b)^2 + (s_a - s_b)^2; covariances that commute are one dimension after another.
    one = gaussian(torch.tensor([1.0]), torch.tensor([[4.0]]))
    other = gaussian(torch.tensor([3.5]), torch.tensor([[9.0]]))
    assert frechet_distance(one, other) == pytest.approx(2.5**2 + 1)
    torch.manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    a, b = torch.rand(6).double() + 0.1, torch.rand(6).double() + 0.1
    mean = torch.randn(6)
    distance = frechet_distance(
        gaussian(mean, turn @ a.square().diag() @ turn.T), gaussian(torch.zeros(6), turn @ b.square().diag() @ turn.T)
    )
    assert distance == pytest.approx(float(mean.double().square().sum() + (a - b).square().sum()), rel=1e-10)


def test_covariances_that_do_not_commute() -> None:
    torch.manual_seed(1)
    a, b = (Moments.of(torch.randn(50, 4) @ torch.randn(4, 4)) for _ in range(2))
    eigenvalues = torch.linalg.eigvals(a.covariance @ b.covariance)
    expected = (
        (a.mean - b.mean).square().sum()
        + a.covariance.trace()
        + b.covariance.trace()
        - 2 * eigenvalues.sqrt().real.sum()
    )
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-10)
    assert frechet_distance(b, a) == pytest.approx(float(expected), rel=1e-10)


def test_of_the_same_set_is_zero() -> None:
    torch.manual_seed(0)
    for rows in (200, 5):  # more and fewer than there are dimensions
        moments = Moments.of(torch.randn(rows, 20))
        assert abs(frechet_distance(moments, moments)) < 1e-6


def test_fewer_images_than_dimensions() -> None:
    # Each set spans one axis: the shared root is zero, and the distance is the sum of all that is there.
    a = Moments.of(torch.tensor([[-1.0, 0, 0], [1, 0, 0]]))
    b = Moments.of(torch.tensor([[0, -2.0, 1], [0, 2, 1]]))
    assert frechet_distance(a, b) == pytest.approx(1 + 2 + 8)


def test_infinitely_many_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = gaussian(torch.zeros(20), torch.eye(20))
    generated = torch.randn(2000, 20, generator=generator)
    few = frechet_distance(Moments.of(generated[:500]), reference)
    infinite = extrapolated_distance(generated, reference)
    assert abs(infinite.value) < few / 3
    assert infinite.error is not None
    assert infinite.error < few / 3
    shifted = extrapolated_distance(generated + 0.5, reference)
    assert shifted.value == pytest.approx(20 * 0.25, rel=0.05)
