"""Gaussian data, for which the optimal network is a formula, and so is the differential equation's solution."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import Diffusion, Parameterization, Sampler, SamplerState, cosine_schedule, walk
from iddpm.diffusion.samplers import sampler_named
from iddpm.errors import UserError
from iddpm.names import SAMPLERS

MEAN, SIGMA = 0.3, 0.25


def no_noise() -> Tensor:
    raise AssertionError("a deterministic sampler draws no noise")


def diffusion(steps: int) -> Diffusion:
    """On steps that are evenly spaced in lambda, where the order of a solver shows."""
    schedule = cosine_schedule(4000)
    log_ratio = 0.5 * torch.log(schedule.alpha_bar / (1 - schedule.alpha_bar))
    wanted = torch.linspace(float(log_ratio[-80]), float(log_ratio[10]), steps, dtype=torch.float64)
    positions = sorted({int((log_ratio - each).abs().argmin()) for each in wanted})
    return Diffusion(schedule, Parameterization.named("x_0", "fixed_small")).strided(tuple(positions))


def optimal(chain: Diffusion):  # type: ignore[no-untyped-def]
    """E[x_0 | x_t] for x_0 ~ N(MEAN, SIGMA^2)."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        step = chain.schedule.at(torch.searchsorted(chain.schedule.timesteps, t), x)
        gain = step.sqrt_alpha_bar * SIGMA**2 / (step.alpha_bar * SIGMA**2 + 1 - step.alpha_bar)
        return MEAN + gain * (x - step.sqrt_alpha_bar * MEAN)

    return predict


def exact(chain: Diffusion, x_T: Tensor) -> Tensor:
    """What the differential equation leads to at the chain's first step: quantiles stay quantiles."""
    first, last = chain.schedule.alpha_bar[0], chain.schedule.alpha_bar[-1]
    spread = [(alpha_bar * SIGMA**2 + 1 - alpha_bar).sqrt() for alpha_bar in (first, last)]
    return first.sqrt() * MEAN + spread[0] / spread[1] * (x_T - last.sqrt() * MEAN)


def error(solver: str, steps: int) -> float:
    chain = diffusion(steps)
    x_T = torch.randn(64, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    states: list[SamplerState] = list(walk(chain, optimal(chain), SAMPLERS[solver](), x_T, no_noise, clip=False))
    assert [state.position for state in states] == list(reversed(range(len(chain.schedule))))
    return float((states[-2].x - exact(chain, x_T)).abs().max())  # the last step is the decoder's


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpm++", 2), ("unipc", 2)])
def test_the_order_of_each_solver(solver: str, order: int) -> None:
    coarse, fine = error(solver, 20), error(solver, 80)
    assert math.log(coarse / fine) / math.log(79 / 19) > order - 0.25


def test_higher_order_is_closer() -> None:
    assert error("unipc", 15) < error("dpm++", 15) < error("ddim", 15)


@pytest.mark.parametrize("solver", ["dpm++", "unipc"])
def test_one_and_two_steps(solver: str) -> None:
    for positions in ((3999,), (1000, 3999)):
        chain = Diffusion(cosine_schedule(4000), Parameterization.named("x_0", "fixed_small")).strided(positions)
        x_T = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        *_, last = walk(chain, optimal(chain), SAMPLERS[solver](), x_T, no_noise)
        assert torch.equal(last.x, last.x_0)
        assert torch.isfinite(last.x).all()


def test_the_stochastic_solver_keeps_the_spread() -> None:
    chain = diffusion(40)
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(512, 1, 4, 4, dtype=torch.float64, generator=generator)

    states = list(walk(chain, optimal(chain), SAMPLERS["dpm++sde"](), noise(), noise, clip=False))
    before_the_decoder = states[-2].x
    expected = chain.schedule.alpha_bar[0] * SIGMA**2 + 1 - chain.schedule.alpha_bar[0]
    assert float(before_the_decoder.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(before_the_decoder.var()) == pytest.approx(float(expected), rel=0.05)


def test_a_hook_between_steps_holds_part_of_the_batch() -> None:
    """Half of x is put back between steps, as inpainting does; the network sees it, and so does the result."""
    chain = diffusion(10)
    seen: list[Tensor] = []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x[..., :1].clone())
        return optimal(chain)(x, t)

    def hold(state: SamplerState) -> Tensor:
        return torch.cat([torch.full_like(state.x[..., :1], 0.125), state.x[..., 1:]], dim=-1)

    x_T = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    *_, last = walk(chain, predict, SAMPLERS["ddim"](), x_T, no_noise, clip=False, between=hold)
    assert all(bool((x == 0.125).all()) for x in seen[1:])
    assert bool((last.x[..., :1] == 0.125).all())
    *_, free = walk(chain, optimal(chain), SAMPLERS["ddim"](), x_T, no_noise, clip=False)
    torch.testing.assert_close(last.x[..., 1:], free.x[..., 1:])  # here no element depends on another


def test_samplers_by_name() -> None:
    for name in SAMPLERS:
        assert isinstance(sampler_named(name), Sampler)
    assert sampler_named("ddim", eta=0.5).eta == 0.5  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r'sampler: "euler" is not known; use one of ancestral, ddim'):
        sampler_named("euler")
    with pytest.raises(UserError, match=r"eta: the sampler unipc has no eta, got 0.5; leave it out"):
        sampler_named("unipc", eta=0.5)
    with pytest.raises(UserError, match=r"eta: must be 0 \(no noise\) to 1 .*, got 2"):
        sampler_named("ddim", eta=2.0)
