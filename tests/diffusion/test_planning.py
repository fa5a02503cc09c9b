from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import Diffusion, Parameterization, bits_per_dim, cosine_schedule, diffuse, kept_timesteps
from iddpm.diffusion.planning import JumpCosts, JumpStatistics
from iddpm.diffusion.respacing import restricted
from iddpm.errors import UserError

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
    if not diffusion.parameterization.variance.is_learned:
        return eps
    spread = torch.sin(3 * x_t + timestep / 7)
    return torch.cat(
        [eps, spread if type(diffusion.parameterization.variance).__name__ == "LearnedRange" else spread - 4], 1
    )


def looked_at(diffusion: Diffusion, batch: int = 6) -> JumpCosts:
    statistics = JumpStatistics(diffusion)
    everything, noise = data(), noises()
    for start in range(0, len(everything), batch):
        x_0 = everything[start : start + batch]
        for position in range(len(diffusion.schedule)):
            x_t = diffuse(diffusion.schedule.at_position(position, x_0), x_0, noise[position, start : start + batch])
            output = network(diffusion, x_t, diffusion.schedule.timestep(position, x_t.device))
            statistics.add(position, x_0, x_t, output)
    return statistics.costs()


def really(diffusion: Diffusion, positions: list[int]) -> float:
    """The bound of that chain, from the definition, with the same noise at every step."""
    chain = Diffusion(restricted(diffusion.schedule, positions), diffusion.parameterization, diffusion.levels)
    noise = iter([noises()[position] for position in reversed(positions)])
    return float(bits_per_dim(chain, lambda x, t: network(diffusion, x, t), data(), lambda: next(noise)).total.mean())


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned", "learned_range"])
def test_the_costs_add_up_to_the_bound(prediction: str, variance: str) -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(prediction, variance), LEVELS)
    costs = looked_at(diffusion)
    for positions in ([3], [39], [0, 39], [5, 39], [2, 3, 4, 30], list(range(0, 40, 3)), list(range(40))):
        assert costs.bound(positions) == pytest.approx(really(diffusion, positions), rel=2e-3)


def test_the_plan_is_the_best_of_all_chains() -> None:
    diffusion = Diffusion(
        restricted(cosine_schedule(STEPS), [0, 2, 5, 11, 20, 30, 39]), Parameterization.named(), LEVELS
    )
    costs = looked_at(diffusion)
    plan = costs.plan()
    assert len(plan) == 7
    for count in range(1, 8):
        best = min(combinations(range(7), count), key=lambda chain: costs.bound(list(chain)))
        assert plan.positions(count) == list(best)
        assert float(plan.bounds[count - 1]) == pytest.approx(costs.bound(list(best)))
    assert len(costs.plan(3)) == 3
    for wrong in (0, 8):
        with pytest.raises(UserError, match=f"steps: the plan has chains of 1 ... 7 steps, asked for {wrong}"):
            plan.positions(wrong)


def test_planned_is_never_worse_than_other_strides() -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(), LEVELS)
    costs = looked_at(diffusion)
    plan = costs.plan()
    for count in range(2, STEPS + 1):
        uniform = costs.bound(kept_timesteps(STEPS, count))
        assert float(plan.bounds[count - 1]) <= uniform + 1e-12
    assert plan.positions(STEPS) == list(range(STEPS))


def test_batches_make_no_difference() -> None:
    diffusion = Diffusion(cosine_schedule(STEPS), Parameterization.named(), LEVELS)
    one, two = looked_at(diffusion), looked_at(diffusion, batch=4)
    for name in ("jumps", "decoder", "alone", "prior"):
        assert torch.allclose(getattr(one, name), getattr(two, name), rtol=1e-6)


def test_what_cannot_be_planned_with() -> None:
    with pytest.raises(UserError, match="x_prev is made for one chain"):
        JumpStatistics(Diffusion(cosine_schedule(STEPS), Parameterization.named("x_prev"), LEVELS))
    with pytest.raises(UserError, match="nothing to plan on"):
        JumpStatistics(Diffusion(cosine_schedule(STEPS), Parameterization.named(), LEVELS)).costs()
