"""Gaussian data: the expected squared error of the optimal prediction is known at every step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import Diffusion, Parameterization, bits_per_dim, cosine_schedule
from iddpm.diffusion.readings import ErrorTable, ExpectedError, Jacobian
from iddpm.diffusion.reverse import bounded, reverse_step
from iddpm.names import READINGS

SIGMA, STEPS = 0.3, 100
SCHEDULE = cosine_schedule(STEPS)


def spread(alpha_bar: Tensor) -> Tensor:
    """Var[x_0 | x_t] for x_0 ~ N(0, SIGMA^2)."""
    return SIGMA**2 * (1 - alpha_bar) / (alpha_bar * SIGMA**2 + 1 - alpha_bar)


def optimal(x: Tensor, t: Tensor) -> Tensor:
    """E[x_0 | x_t], and a variance part that nobody should read."""
    step = SCHEDULE.at(t, x)
    x_0 = step.sqrt_alpha_bar * SIGMA**2 * x / (step.alpha_bar * SIGMA**2 + 1 - step.alpha_bar)
    return torch.cat([x_0.expand_as(x), torch.full_like(x, torch.nan)], dim=1)


def table(timesteps: Tensor | None = None) -> ErrorTable:
    known = torch.arange(STEPS) if timesteps is None else timesteps
    errors = spread(SCHEDULE.alpha_bar[known])[:, None].float()
    return ErrorTable("analytic", known, errors, errors / 2)


def chain(stride: str = "10") -> Diffusion:
    return Diffusion(SCHEDULE, Parameterization.named("x_0", "learned_range")).strided(stride)


@pytest.mark.parametrize("stride", ["1", "10", "100"])
def test_expected_errors_give_the_exact_reverse_process(stride: str) -> None:
    diffusion, predict = table().apply(chain(stride), optimal, clip=True)
    x = torch.randn(4, 1, 3, 3)
    for position in range(1, len(diffusion.schedule)):
        step = diffusion.schedule.at_position(position, x)
        output = predict(x, diffusion.schedule.timestep(position, x.device))
        found = reverse_step(step, diffusion.parameterization, output, x, clip=False).distribution.log_variance
        alpha_bar, before = diffusion.schedule.alpha_bar[position], diffusion.schedule.alpha_bar[position - 1]
        beta = 1 - alpha_bar / before
        # Var[x_s | x_t] of two Gaussians: x_t is sqrt(alpha_bar_t / alpha_bar_s) x_s and noise of variance beta.
        own = before * SIGMA**2 + 1 - before
        exact = own * beta / (alpha_bar / before * own + beta)
        assert torch.allclose(found.exp().double(), exact.expand_as(found), rtol=1e-4)


def test_the_first_step_has_the_decoders_variance() -> None:
    diffusion, predict = table().apply(chain(), optimal, clip=True)
    x = torch.randn(2, 1, 3, 3)
    step, output = diffusion.schedule.at_position(0, x), predict(x, diffusion.schedule.timestep(0, x.device))
    variance = reverse_step(step, diffusion.parameterization, output, x, clip=False).distribution.log_variance.exp()
    assert torch.allclose(variance.double(), spread(SCHEDULE.alpha_bar[0]).expand_as(variance) / 2, rtol=1e-4)


def test_steps_that_were_not_looked_at_are_interpolated() -> None:
    some = table(torch.arange(0, STEPS, 3)).of_chain(chain("20").schedule)
    whole = table().of_chain(chain("20").schedule)
    assert torch.allclose(some[1:-1], whole[1:-1], rtol=0.1)
    assert torch.equal(table(torch.tensor([50])).of_chain(chain("20").schedule)[1:, 0].unique(), table().errors[50])


def test_calibrated_errors_are_looked_up_by_what_the_network_says() -> None:
    errors = torch.arange(1.0, 129.0).repeat(STEPS, 1)
    calibrated = ErrorTable("calibrated", torch.arange(STEPS), errors, errors)
    part = torch.linspace(-3.5, 3.5, 9).reshape(1, 1, 3, 3)  # fractions -1.25 ... 2.25 of a range of -1 ... 2
    _, predict = calibrated.apply(chain(), lambda x, t: torch.cat([x, part], dim=1), clip=True)
    found = predict(torch.zeros(1, 1, 3, 3), chain().schedule.timestep(3, torch.device("cpu")))[:, 1:].flatten()
    wanted = (((part.flatten() + 1) / 2 + 1) * 128 / 3).floor().clamp(0, 127) + 1
    assert torch.allclose(found, wanted)


def test_the_jacobian_of_the_optimal_prediction_is_the_spread() -> None:
    diffusion, predict = Jacobian().apply(chain(), optimal, clip=False)
    assert isinstance(diffusion.parameterization.variance, ExpectedError)
    x = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    for position in (0, 4, 9):
        output = predict(x, diffusion.schedule.timestep(position, x.device))
        assert torch.allclose(output[:, :1], optimal(x, diffusion.schedule.timestep(position, x.device))[:, :1])
        exact = spread(diffusion.schedule.alpha_bar[position]).expand_as(x)
        assert torch.allclose(output[:, 1:], exact, rtol=1e-6)


@pytest.mark.parametrize("name", ["fixed_small", "fixed_large"])
def test_fixed_variances_leave_the_networks_word_out(name: str) -> None:
    diffusion, predict = READINGS[name]().apply(chain(), optimal, clip=True)
    x_0 = (torch.randn(4, 1, 3, 3) * SIGMA).clamp(-1, 1)
    bound = bits_per_dim(diffusion, predict, x_0, lambda: torch.randn(4, 1, 3, 3))
    assert torch.isfinite(bound.total).all()


def test_dynamic_thresholding() -> None:
    x = torch.linspace(-3, 1, 101).reshape(1, 1, 101)
    small = x / 10
    assert torch.equal(bounded(small, 0.9), small)  # inside the range of data nothing happens
    found = bounded(torch.cat([x, small]), 0.9)
    limit = torch.quantile(x.abs(), 0.9)
    assert torch.allclose(found[0], (x / limit).clamp(-1, 1)[0])
    assert torch.equal(found[1], small[0])
    assert torch.equal(bounded(x, False), x)
    assert torch.equal(bounded(x, True), x.clamp(-1, 1))
