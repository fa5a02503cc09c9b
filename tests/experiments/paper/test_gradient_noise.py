"""The noise scale's parts, against gradients whose mean and covariance are known."""

import pytest
import torch

from iddpm.experiments.paper.gradient_noise import Gradients, _true_square


def drawn(count: int, noise: float, mean: torch.Tensor, seed: int) -> Gradients:
    generator = torch.Generator().manual_seed(seed)
    each = mean + noise * torch.randn(count, len(mean), generator=generator, dtype=torch.double)
    found = each.mean(dim=0)
    trace = float((each - found).square().sum()) / (count - 1)
    return Gradients(count, found, trace)


def test_the_true_gradients_square_is_without_the_noises_part() -> None:
    mean = 0.1 * torch.ones(50, dtype=torch.double)  # |G|^2 is 0.5
    squares = [
        _true_square([drawn(40, 1.0, mean, 2 * seed), drawn(40, 3.0, mean, 2 * seed + 1)]) for seed in range(400)
    ]
    found = torch.tensor(squares)
    error = float(found.std() / len(found) ** 0.5)
    assert float(found.mean()) == pytest.approx(0.5, abs=4 * error)
    naive = torch.stack([drawn(40, 1.0, mean, seed).mean.square().sum() for seed in range(400)])
    assert float(naive.mean()) > 1.5  # what it would be with it


def test_a_gradient_that_noise_hides_has_a_small_positive_square() -> None:
    nothing = torch.zeros(50, dtype=torch.double)
    assert all(_true_square([drawn(40, 1.0, nothing, seed)]) > 0 for seed in range(50))
