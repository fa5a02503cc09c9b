from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import (
    Diffusion,
    Discretized,
    Parameterization,
    bits_per_dim,
    cosine_schedule,
    diffuse,
    kept_timesteps,
)
from iddpm.diffusion.parameterization import Learned, Velocity
from iddpm.diffusion.planning import JumpStatistics
from iddpm.diffusion.readings import Reading
from iddpm.diffusion.respacing import restricted
from iddpm.errors import UserError
from iddpm.names import MODEL, READINGS

pytestmark = pytest.mark.slow

STEPS = 40
LEVELS = 17


def data(count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, LEVELS, (count, 1, 4, 4), generator=generator).float() * (2 / (LEVELS - 1)) - 1


def noises(count: int = 6) -> Tensor:
    return torch.randn(STEPS, count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def network(diffusion: Diffusion, x_t: Tensor, timestep: Tensor) -> Tensor:
    """Something like a trained network: a guess at the noise, and variances that differ from pixel to pixel."""
    eps = x_t * (0.3 + 0.6 * timestep / STEPS)
    if isinstance(diffusion.parameterization.prediction, Velocity):
        step = cosine_schedule(STEPS).at(timestep, x_t)
        x_0 = step.sqrt_recip_alpha_bar * x_t - step.sqrt_recipm1_alpha_bar * eps
        eps = step.sqrt_alpha_bar * eps - step.sqrt_one_minus_alpha_bar * x_0
    if not diffusion.parameterization.variance.is_learned:
        return eps
    spread = torch.sin(3 * x_t + timestep / 7)
    if isinstance(diffusion.parameterization.variance, Learned):
        whole = cosine_schedule(STEPS).posterior_log_variance  # networks learn a variance between beta-tilde and beta
        spread = 0.5 * spread + whole[timestep].reshape(-1, 1, 1, 1).float()
    return torch.cat([eps, spread], dim=1)


def looked_at(diffusion: Diffusion, batch: int = 6) -> JumpStatistics:
    statistics = JumpStatistics(diffusion)
    everything, noise = data(), noises()
    for start in range(0, len(everything), batch):
        x_0 = everything[start : start + batch]
        for position in range(len(diffusion.schedule)):
            x_t = diffuse(diffusion.schedule.at_position(position, x_0), x_0, noise[position, start : start + batch])
            output = network(diffusion, x_t, diffusion.schedule.timestep(position, x_t.device))
            statistics.add(position, x_0, x_t, output)
    return statistics


def really(diffusion: Diffusion, positions: list[int], variance: Reading | None = None) -> float:
    """The bound of that chain, from the definition, with the same noise at every step."""
    chain = Diffusion(restricted(diffusion.schedule, positions), diffusion.parameterization, diffusion.decoder)
    noise = iter([noises()[position] for position in reversed(positions)])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return network(diffusion, x, t)

    if variance is not None:
        chain, predict = variance.apply(chain, predict, clip=True)
    return float(bits_per_dim(chain, predict, data(), lambda: next(noise)).total.mean())


CHAINS = ([3], [39], [0, 39], [5, 39], [2, 3, 4, 30], list(range(0, 40, 3)), list(range(40)))


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned", "learned_range"])
def test_the_costs_add_up_to_the_bound(prediction: str, variance: str) -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(prediction, variance), Discretized(LEVELS))
    costs = looked_at(diffusion).costs()
    for positions in CHAINS:
        assert costs.bound(positions) == pytest.approx(really(diffusion, positions), rel=2e-3)


@pytest.mark.parametrize("own", ["fixed_large", "learned", "learned_range"])
def test_so_they_do_with_other_variances(own: str) -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named("eps", own), Discretized(LEVELS))
    statistics = looked_at(diffusion)
    assert statistics.variances[0] == MODEL
    assert ("calibrated" in statistics.variances) == own.startswith("learned")
    for name in statistics.variances[1:]:
        choice = READINGS[name]() if name.startswith("fixed") else statistics.error_table(name)
        costs = statistics.costs(name)
        for positions in CHAINS:
            assert costs.bound(positions) == pytest.approx(really(diffusion, positions, choice), rel=2e-3)


def test_expected_errors_give_the_best_variances() -> None:
    """Of one number a step, none costs less than the analytic one; and knowing more than the step never costs more."""
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(), Discretized(LEVELS))
    statistics = looked_at(diffusion)
    own, analytic, calibrated = (statistics.costs(name).jumps for name in (MODEL, "analytic", "calibrated"))
    for name in ("fixed_small", "fixed_large"):
        assert bool((analytic <= statistics.costs(name).jumps + 1e-9).all())
    assert bool((calibrated <= analytic + 1e-9).all())
    assert bool((calibrated[20:] < own[20:]).any())


def test_the_plan_is_the_best_of_all_chains() -> None:
    diffusion = Diffusion(
        restricted(cosine_schedule(STEPS), [0, 2, 5, 11, 20, 30, 39]), Parameterization.named(), Discretized(LEVELS)
    )
    costs = looked_at(diffusion).costs()
    plan = costs.plan()
    assert len(plan) == 7
    for count in range(1, 8):
        best = min(combinations(range(7), count), key=lambda chain: costs.bound(list(chain)))
        assert plan.positions(count) == list(best)
        assert float(plan.bounds[count - 1]) == pytest.approx(costs.bound(list(best)))
    assert len(costs.plan(3)) == 3
    for wrong in (0, 8):
        with pytest.raises(UserError, match=f"steps: must be 1 ... 7, the lengths that were planned, got {wrong}"):
            plan.positions(wrong)


def test_the_best_chain_that_begins_with_noise() -> None:
    diffusion = Diffusion(
        restricted(cosine_schedule(STEPS), [0, 2, 5, 11, 20, 30, 39]), Parameterization.named(), Discretized(LEVELS)
    )
    costs = looked_at(diffusion).costs()
    plan = costs.plan()
    for count in range(1, 8):
        chains = [chain for chain in combinations(range(7), count) if chain[-1] == 6]
        best = min(chains, key=lambda chain: costs.bound(list(chain)))
        assert plan.positions(count, from_noise=True) == list(best)
    assert any(plan.positions(count)[-1] < 6 for count in range(1, 8))


def test_planned_is_never_worse_than_other_strides() -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(), Discretized(LEVELS))
    costs = looked_at(diffusion).costs()
    plan = costs.plan()
    for count in range(2, STEPS + 1):
        uniform = costs.bound(kept_timesteps(STEPS, count))
        assert float(plan.bounds[count - 1]) <= uniform + 1e-12
    assert plan.positions(STEPS) == list(range(STEPS))


def test_batches_make_no_difference() -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(), Discretized(LEVELS))
    one, two = looked_at(diffusion).costs(), looked_at(diffusion, batch=4).costs()
    for name in ("jumps", "decoder", "alone", "prior"):
        assert torch.allclose(getattr(one, name), getattr(two, name), rtol=1e-6)


def test_what_cannot_be_planned_with() -> None:
    with pytest.raises(UserError, match="diffusion.prediction: it is made for one chain"):
        JumpStatistics(Diffusion(cosine_schedule(STEPS), Parameterization.named("x_prev"), Discretized(LEVELS)))
    with pytest.raises(UserError, match="there are no items to plan on"):
        JumpStatistics(Diffusion(cosine_schedule(STEPS), Parameterization.named(), Discretized(LEVELS))).costs()
