"""Mixtures of logistic distributions over grey levels."""

import math

import pytest
import torch

from iddpm.experiments.rivals.logistic_mixture import MIXED, PARAMETERS, log_probabilities, spread


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_probabilities_sum_to_one(levels: int) -> None:
    """With steep and flat distributions, within the levels and beyond."""
    mixtures = 3 * torch.randn(5, PARAMETERS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    every = torch.arange(levels)[:, None, None].expand(levels, 5, 4)
    total = torch.stack([log_probabilities(mixtures, values, levels) for values in every]).exp().sum(dim=0)
    assert total.numpy() == pytest.approx(1.0, abs=1e-9)


def test_a_bin_is_a_difference_of_two_logistic_functions() -> None:
    mixtures = torch.zeros(1, PARAMETERS, dtype=torch.float64)
    mixtures[:, MIXED : 2 * MIXED] = 0.1
    mixtures[:, 2 * MIXED :] = math.log(0.3)
    edges = torch.tensor([-0.25, 0.25], dtype=torch.float64)  # of level 2 of 5, at 0
    first, second = ((edges - 0.1) / 0.3).sigmoid().tolist()
    found = log_probabilities(mixtures, torch.tensor([2]), 5)
    assert float(found.exp()) == pytest.approx(second - first)


def test_far_from_every_mean_there_is_still_a_slope() -> None:
    mixtures = torch.zeros(1, PARAMETERS)
    mixtures[:, MIXED : 2 * MIXED] = -0.9
    mixtures[:, 2 * MIXED :] = -7.0
    mixtures.requires_grad_()
    found = log_probabilities(mixtures, torch.tensor([250]), 256)
    found.sum().backward()
    assert mixtures.grad is not None
    assert torch.isfinite(found).all()
    assert (mixtures.grad[:, MIXED : 2 * MIXED] > 0).all()


def test_a_layer_begins_with_all_levels_about_as_likely() -> None:
    last = torch.nn.Linear(7, 2 * PARAMETERS)
    spread(last, 2)
    mixtures = last(torch.randn(1, 7)).detach().reshape(2, PARAMETERS)
    every = [log_probabilities(mixtures, torch.full((2,), value), 256) for value in range(256)]
    assert float(torch.stack(every).abs().max()) < 2 * math.log(256)
    assert float((torch.stack(every) / math.log(2)).mean()) == pytest.approx(-8, abs=0.2)
