"""What must hold whatever the numbers are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import (
    DDIM,
    Ancestral,
    Diffusion,
    Gaussian,
    Hybrid,
    LossSecondMoment,
    LowDiscrepancy,
    Parameterization,
    SeededNoise,
    Uniform,
    bits_per_dim,
    cosine_schedule,
    ddim_encode,
    diffuse,
    forward_marginal,
    posterior,
    reverse_step,
    strided,
    walk,
)
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError
from iddpm.names import PREDICTIONS, SAMPLERS, VARIANCES


def batch(count: int = 6, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, 4, 4, dtype=torch.float64).clamp(-1, 1)


@pytest.mark.parametrize("stride", [None, "20", "2"])
def test_posterior_obeys_bayes_rule(stride: str | None) -> None:
    """q(x_{t-1} | x_t, x_0) q(x_t | x_0) = q(x_t | x_{t-1}) q(x_{t-1} | x_0), at every step but the first."""
    schedule = cosine_schedule(100)
    schedule = schedule if stride is None else strided(schedule, stride)
    t = torch.arange(1, len(schedule))
    x_0, x_before, x_t = (torch.randn(len(t), 1, 8, dtype=torch.float64) for _ in range(3))
    step, before = schedule.at(t, x_0), schedule.at(t - 1, x_0)
    beta = schedule.betas[t][:, None, None]
    transition = Gaussian((1 - beta).sqrt() * x_before, beta.log())
    left = posterior(step, x_0, x_t).log_density(x_before) + forward_marginal(step, x_0).log_density(x_t)
    right = transition.log_density(x_t) + forward_marginal(before, x_0).log_density(x_before)
    torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_perfect_prediction_gives_back_x_0(name: str) -> None:
    diffusion = Diffusion(cosine_schedule(100), Parameterization.named(name, "fixed_small"))
    x_0, noise = batch(), torch.randn(6, 3, 4, 4, dtype=torch.float64)
    step = diffusion.schedule.at(torch.tensor([0, 1, 2, 50, 90, 98]), x_0)
    x_t = diffuse(step, x_0, noise)
    target = diffusion.parameterization.prediction.target(step, x_0, x_t, noise)
    reverse = reverse_step(step, diffusion.parameterization, target, x_t, clip=False)
    torch.testing.assert_close(reverse.x_0, x_0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(reverse.distribution.mean, posterior(step, x_0, x_t).mean, rtol=1e-6, atol=1e-6)


def test_learned_range_lies_between_the_chains_own_variances() -> None:
    for schedule in (cosine_schedule(100), strided(cosine_schedule(100), 7)):
        x = torch.zeros(len(schedule), 1, 2, dtype=torch.float64)
        step = schedule.at(torch.arange(len(schedule)), x)
        variance = VARIANCES["learned_range"]()
        torch.testing.assert_close(variance.log_variance(step, x - 1), step.posterior_log_variance.expand_as(x))
        torch.testing.assert_close(variance.log_variance(step, x + 1), step.log_beta.expand_as(x))


def test_unknown_names_and_wrong_channels_are_refused() -> None:
    with pytest.raises(UserError, match="use one of eps"):
        Parameterization.named("epsilon")
    with pytest.raises(UserError, match="use one of fixed_small"):
        Parameterization.named("eps", "big")
    with pytest.raises(UserError, match="3 channels"):
        Parameterization.named().split(torch.zeros(1, 3, 2, 2), 3)


@pytest.mark.parametrize("levels", [2, 17, 256, 4096])
def test_the_decoders_bins_hold_all_the_mass(levels: int) -> None:
    values = torch.linspace(-1, 1, levels, dtype=torch.float64)
    for mean, log_variance in ((0.3, -1.0), (-0.95, -2.0), (1.4, 0.0)):
        model = Gaussian(torch.tensor(mean, dtype=torch.float64), torch.tensor(log_variance, dtype=torch.float64))
        assert model.discretized_log_likelihood(values, levels).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_kl_is_zero_for_the_same_and_matches_monte_carlo() -> None:
    first, second = (Gaussian(torch.tensor(m), torch.tensor(v)) for m, v in ((0.3, -0.5), (-0.2, 0.4)))
    assert first.kl(first).item() == pytest.approx(0, abs=1e-7)
    x = first.sample(torch.randn(200_000))
    estimate = (first.log_density(x) - second.log_density(x)).mean().item()
    assert first.kl(second).item() == pytest.approx(estimate, abs=0.01)


def constant_network(channels: int, value: float = 0.2):  # type: ignore[no-untyped-def]
    def predict(x: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.int64
        return torch.cat([0.6 * x + value, 0.3 * torch.cos(x)], dim=1)

    return predict


def test_the_bounds_gradient_stops_at_the_mean() -> None:
    diffusion = Diffusion(cosine_schedule(100), Parameterization.named())
    x_0, noise, t = batch(), torch.randn(6, 3, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 5, 50, 98, 99])
    x_t = diffuse(diffusion.schedule.at(t, x_0), x_0, noise)
    output = torch.randn(6, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    losses = Hybrid()(diffusion, output, x_0, x_t, t, noise)
    assert losses.vlb is not None
    (of_bound,) = torch.autograd.grad(losses.vlb.sum(), output, retain_graph=True)
    assert bool((of_bound[:, :3] == 0).all())
    assert bool((of_bound[:, 3:] != 0).any())
    (of_total,) = torch.autograd.grad(losses.total.sum(), output)
    torch.testing.assert_close(of_total[:, 3:], 1e-3 * of_bound[:, 3:])


def no_noise() -> Tensor:
    raise AssertionError("a deterministic sampler draws no noise")


def test_ddim_with_eta_1_is_ancestral_sampling_with_the_small_variance() -> None:
    diffusion = Diffusion(strided(cosine_schedule(1000), 30), Parameterization.named("eps", "fixed_small"))

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return 0.5 * x + 0.1

    # At the first step both give the mean without noise.
    ends = []
    for sampler in (Ancestral(), DDIM(eta=1.0)):
        noise = SeededNoise(range(4), (3, 4, 4))
        *_, last = walk(diffusion, predict, sampler, noise().double(), lambda noise=noise: noise().double())
        ends.append(last.x)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-5)


def test_ddim_leads_back_to_what_was_encoded() -> None:
    """For a network that knows Gaussian data exactly, encoding and decoding is close to the identity."""
    schedule = cosine_schedule(1000)
    diffusion = Diffusion(schedule, Parameterization.named("eps", "fixed_small"))

    def predict(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = schedule.alpha_bar[t][:, None, None, None]
        return (1 - alpha_bar).sqrt() * x / (alpha_bar * 0.25 + 1 - alpha_bar)

    x_0 = 0.5 * torch.randn(8, 1, 4, 4, dtype=torch.float64)
    *_, encoded = ddim_encode(diffusion, predict, x_0, clip=False)
    assert encoded.x.std().item() == pytest.approx(1, abs=0.15)
    *_, decoded = walk(diffusion, predict, DDIM(), encoded.x, no_noise, clip=False)
    torch.testing.assert_close(decoded.x, x_0, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("num_steps", [1, 2])
def test_shortest_chains_sample_and_score(num_steps: int) -> None:
    diffusion = Diffusion(cosine_schedule(1000), Parameterization.named()).strided(num_steps)
    predict = constant_network(3)
    noise = SeededNoise(range(4), (3, 4, 4))
    for name in SAMPLERS:
        states = list(walk(diffusion, predict, SAMPLERS[name](), noise(), noise))
        assert len(states) == num_steps
        assert bool(torch.isfinite(states[-1].x).all())
    bound = bits_per_dim(diffusion, predict, batch(4).float(), noise)
    assert bound.terms.shape == (4, num_steps)
    assert bool(torch.isfinite(bound.total).all())


def test_the_network_sees_original_timesteps() -> None:
    diffusion = Diffusion(cosine_schedule(1000), Parameterization.named("eps", "fixed_small")).strided("5")
    seen: list[int] = []

    def predict(x: Tensor, t: Tensor) -> Tensor:
        seen.append(int(t[0]))
        return x

    list(walk(diffusion, predict, DDIM(), torch.randn(1, 1, 2), no_noise))
    assert seen == [999, 749, 500, 250, 0]


def test_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    together = SeededNoise([mixed_seed(7, i) for i in range(5)], (2, 3))
    alone = SeededNoise([mixed_seed(7, 3)], (2, 3))
    for _ in range(3):
        assert torch.equal(together()[3:4], alone())


def test_mixed_seeds_differ() -> None:
    seeds = {mixed_seed(a, b, c) for a in range(20) for b in range(20) for c in range(5)}
    assert len(seeds) == 20 * 20 * 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_low_discrepancy_draws_spread_evenly_and_are_uniform() -> None:
    sampler, generator = LowDiscrepancy(100), torch.Generator().manual_seed(0)
    counts = torch.zeros(100)
    for _ in range(400):
        t = sampler.draw(20, generator).t
        assert sorted(t // 5) == list(range(20))  # one in every twentieth of the chain
        counts += torch.bincount(t, minlength=100)
    expected = 400 * 20 / 100
    assert counts.sub(expected).abs().max() < 6 * math.sqrt(expected)


def test_importance_sampling_is_unbiased() -> None:
    """The weighted mean of any function of t is its mean over uniform t."""
    sampler, generator = LossSecondMoment(10), torch.Generator().manual_seed(0)
    values = torch.linspace(1, 5, 10) ** 2
    for _ in range(10):
        sampler.update(torch.arange(10), values)
    assert sampler.warmed_up
    drawn = sampler.draw(200_000, generator)
    assert (drawn.weights * values[drawn.t]).mean().item() == pytest.approx(values.mean().item(), rel=1e-3)
    uniform = Uniform(10).draw(200_000, generator)
    spread = lambda d: (d.weights * values[d.t]).std()  # noqa: E731
    assert spread(drawn) < 0.1 * spread(uniform)  # drawn in proportion to the loss itself, the estimate hardly varies


def test_importance_history_survives_a_checkpoint() -> None:
    sampler, other = LossSecondMoment(4, history_per_term=2), LossSecondMoment(4, history_per_term=2)
    sampler.update(torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 1]), torch.arange(9.0))
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(other.weights(), sampler.weights())
    assert other.history[1].tolist() == [5.0, 8.0]


def test_a_perfect_model_is_sampled_uniformly() -> None:
    sampler = LossSecondMoment(4, history_per_term=1)
    sampler.update(torch.arange(4), torch.zeros(4))
    assert sampler.weights().tolist() == [0.25] * 4
