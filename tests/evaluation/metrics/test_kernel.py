from __future__ import annotations

import pytest
import torch

from iddpm.evaluation.metrics.kernel import kernel_distance, same_distribution


def draw(rows: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_is_the_mean_over_pairs() -> None:
    a, b = draw(5, 0).double(), draw(5, 1, 1.0).double()

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 8 + 1) ** 3)

    within = [sum(kernel(s[i], s[j]) for i in range(5) for j in range(5) if i != j) / 20 for s in (a, b)]
    between = sum(kernel(x, y) for x in a for y in b) / 25
    distance = kernel_distance(a, b, subset_size=5, subsets=3)
    assert distance.value == pytest.approx(sum(within) - 2 * between, rel=1e-10)
    assert distance.spread == pytest.approx(0, abs=1e-10)  # every subset is the whole


def test_is_unbiased() -> None:
    values = torch.tensor(
        [kernel_distance(draw(60, seed), draw(60, 1000 + seed), subset_size=60, subsets=1).value for seed in range(200)]
    )
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5


def test_same_distribution_is_rarely_denied_and_another_one_always() -> None:
    p = [same_distribution(draw(60, seed), draw(50, 1000 + seed), permutations=99) for seed in range(100)]
    assert sum(value <= 0.05 for value in p) <= 11  # of 100; more has a probability of 1 in 200
    assert 0.35 < sum(p) / 100 < 0.65
    assert all(same_distribution(draw(60, seed), draw(50, 99, 1.0), permutations=99) == 0.01 for seed in range(5))
