from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from iddpm.data import Splits, open_source
from iddpm.diffusion.readings import Jacobian
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.presets import preset
from iddpm.progress import Progress, finish
from iddpm.scoring.budget import BoundEstimate, estimate, estimating
from iddpm.scoring.whole import ScoringOptions, score

pytestmark = pytest.mark.slow

COUNT = 24


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_source(preset("digits").data)


@pytest.fixture(scope="module")
def model(splits: Splits) -> Model:
    config = preset("digits")
    small = config.network.model_copy(update={"channels": 32, "channel_multipliers": (1,), "attention_resolutions": ()})
    torch.manual_seed(0)
    fresh = Model.from_config(config.model_copy(update={"network": small}), splits.spec)
    torch.nn.init.normal_(fresh.network.conv_out.weight, std=0.02)  # fresh networks say 0 to everything
    return fresh


def last(model: Model, splits: Splits, seed: int, error: float = 0.05, stride: str = "50") -> BoundEstimate:
    assert splits.validation is not None
    return estimate(model, splits.validation, error=error, steps=stride, count=COUNT, seed=seed)


@pytest.mark.slow
def test_intervals_cover_the_exact_bound(model: Model, splits: Splits) -> None:
    """40 intervals of 95 %, of which all but a few have to cover: 34 or fewer would have a chance of 1.4 %."""
    assert splits.validation is not None
    exact = sum(
        score(model, splits.validation, count=COUNT, steps="50", seed=1000 + seed).total.mean for seed in range(8)
    )
    found = [last(model, splits, seed, error=0.2) for seed in range(40)]
    covered = sum(abs(each.mean - exact / 8) <= each.half_width for each in found)
    assert covered >= 35
    assert all(each.half_width <= 0.2 for each in found)
    mean = sum(each.mean for each in found) / 40
    assert mean == pytest.approx(exact / 8, abs=3 * 0.1 / 40**0.5)


def test_evaluations_of_the_network_are_counted(model: Model, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the Jacobian's variance, too: two for every term."""
    assert splits.validation is not None
    calls: list[int] = []
    network = model.network.forward

    def counted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return network(x, t)

    monkeypatch.setattr(model.network, "forward", counted)
    for variance, a_step in ((None, 1), (Jacobian(), 2)):
        calls.clear()
        found = estimate(model, splits.validation, error=1.0, steps="50", count=COUNT, reading=variance)
        assert found.evaluations == sum(calls)
        assert found.of_all == a_step * 50 * COUNT


def test_neither_batches_nor_luck_decide(model: Model, splits: Splits) -> None:
    assert splits.validation is not None
    chain = model.diffusion.strided("50")
    estimates, rounds = [], []
    for size in (64, 10):
        options = ScoringOptions(COUNT, batch_size=size)
        rounds.append(0)

        def count_rounds(progress: Progress) -> None:
            rounds[-1] += 1

        estimates.append(finish(estimating(model, splits.validation, chain, options, error=100.0), count_rounds))
    assert estimates[0].mean == pytest.approx(estimates[1].mean, rel=1e-4)
    # However wide the interval may be, three rounds of 24 are the first to have 64 draws.
    assert rounds == [2, 2]


def test_a_seed_means_the_same(model: Model, splits: Splits) -> None:
    one, two, other = (last(model, splits, seed, error=0.3) for seed in (3, 3, 4))
    assert one == two
    assert one.mean != other.mean
    assert replace(one, mean=0.0, half_width=0.0).count == COUNT


def test_narrower_takes_more_until_all_would_be_cheaper(model: Model, splits: Splits) -> None:
    wide, narrow = last(model, splits, 0, error=0.5), last(model, splits, 0, error=0.1)
    assert wide.evaluations < narrow.evaluations
    hopeless = last(model, splits, 0, error=1e-6, stride="20")
    assert hopeless.evaluations <= hopeless.of_all == COUNT * 20
    assert hopeless.half_width > 1e-6


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan")])
def test_mistakes(model: Model, splits: Splits, error: float) -> None:
    with pytest.raises(UserError, match="error: must be above 0"):
        last(model, splits, 0, error=error)
