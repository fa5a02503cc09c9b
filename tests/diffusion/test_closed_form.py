"""Gaussian data, for which the optimal network is a formula and the bound is the entropy."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import (
    Ancestral,
    Diffusion,
    Discretized,
    NoiseSchedule,
    Parameterization,
    SeededNoise,
    bits_per_dim,
    walk,
)
from iddpm.diffusion import cosine_schedule as cosine
from iddpm.diffusion import linear_schedule as linear

SIGMA, LEVELS = 0.2, 256


def optimal_network(schedule: NoiseSchedule):  # type: ignore[no-untyped-def]
    """eps and log variance of the exact reverse process for x_0 ~ N(0, SIGMA^2), on the chain in use."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        position = torch.searchsorted(schedule.timesteps, t)
        step = schedule.at(position, x)
        marginal = step.alpha_bar * SIGMA**2 + 1 - step.alpha_bar
        eps = (1 - step.alpha_bar).sqrt() * x / marginal
        spread_of_x_0 = SIGMA**2 * (1 - step.alpha_bar) / marginal
        own = schedule.posterior_variance[position].reshape(-1, 1, 1, 1).to(x)
        variance = own + step.posterior_x_0**2 * spread_of_x_0
        return torch.cat([eps, variance.log().expand_as(x)], dim=1)

    return predict


@pytest.mark.parametrize("schedule", [cosine(1000), linear(1000)], ids=["cosine", "linear"])
@pytest.mark.parametrize("stride", ["1", "2", "10", "ddim50", "1000"])
def test_the_bound_is_the_entropy(schedule: NoiseSchedule, stride: str) -> None:
    diffusion = Diffusion(schedule, Parameterization.named("eps", "learned"), Discretized(LEVELS)).strided(stride)
    count, width = 32, 32
    x_0 = (SIGMA * torch.randn(count, 1, width, width, dtype=torch.float64)).clamp(-1, 1)
    x_0 = ((x_0 + 1) * (LEVELS - 1) / 2).round() * 2 / (LEVELS - 1) - 1
    noise = SeededNoise(range(count), x_0.shape[1:])
    bound = bits_per_dim(diffusion, optimal_network(diffusion.schedule), x_0, lambda: noise().double(), clip=False)
    # The cross entropy of these very images under the optimum, -log N(x_0; 0, SIGMA^2) a bin.
    density = 0.5 * math.log(2 * math.pi * SIGMA**2) + 0.5 * (x_0 / SIGMA) ** 2
    exact = density.flatten(1).mean(dim=1) / math.log(2) + math.log2((LEVELS - 1) / 2)
    difference = bound.total - exact
    error = difference.std().item() / math.sqrt(count)
    assert difference.mean().item() == pytest.approx(0, abs=4 * error + 2e-3)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * SIGMA**2) + math.log2((LEVELS - 1) / 2)
    assert bound.total.mean().item() == pytest.approx(entropy, abs=0.03)


@pytest.mark.parametrize("stride", ["1", "5", "100"])
def test_samples_have_the_datas_spread(stride: str) -> None:
    diffusion = Diffusion(cosine(1000), Parameterization.named("eps", "learned"), Discretized(LEVELS)).strided(stride)
    noise = SeededNoise(range(64), (1, 16, 16))
    predict = optimal_network(diffusion.schedule)
    *_, last = walk(diffusion, predict, Ancestral(), noise().double(), lambda: noise().double(), clip=False)
    # The last step gives the mean: what is missing is the spread that the decoder adds.
    if stride == "1":
        assert last.x.abs().max().item() < 1e-3
    else:
        assert last.x.std().item() == pytest.approx(SIGMA, rel=0.05)
