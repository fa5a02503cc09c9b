from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iddpm.diffusion import (
    cosine_offset,
    cosine_schedule,
    from_betas,
    kept_timesteps,
    linear_schedule,
    strided,
)
from iddpm.errors import UserError


def test_given_betas_are_kept() -> None:
    schedule = from_betas([0.1, 0.2, 0.3])
    assert schedule.alpha_bar.tolist() == pytest.approx([0.9, 0.72, 0.504])
    assert schedule.timesteps.tolist() == [0, 1, 2]


@pytest.mark.parametrize("betas", [[], [0.0], [1.0], [0.5, -0.1], [float("nan")]])
def test_impossible_betas_are_refused(betas: list[float]) -> None:
    with pytest.raises(UserError, match="beta"):
        from_betas(betas)


def test_short_linear_schedule_is_refused_with_a_way_out() -> None:
    with pytest.raises(UserError, match="use diffusion.schedule=cosine"):
        linear_schedule(20)


def test_offset_follows_the_papers_rule() -> None:
    assert cosine_offset(256, 4000) == cosine_offset(256, 1000) == 0.008
    for levels, num_timesteps in ((17, 100), (17, 50), (64, 1000), (32, 200)):
        offset = cosine_offset(levels, num_timesteps)
        assert 0 < offset < 1
        noise = math.sqrt(cosine_schedule(num_timesteps, offset).betas[0])
        assert noise == pytest.approx(0.7 * 2 / (levels - 1), rel=1e-6)  # slightly smaller than a grey level
    assert cosine_offset(17, 4000) == 1.0
    assert cosine_offset(65536, 100) == 0.0


@settings(deadline=None, max_examples=50)
@given(num_timesteps=st.integers(1, 300), data=st.data())
def test_strides_keep_what_they_say(num_timesteps: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, num_timesteps))
    kept = kept_timesteps(num_timesteps, count)
    assert len(kept) == count == len(set(kept))
    assert kept == sorted(kept)
    assert kept[-1] == num_timesteps - 1
    assert count == 1 or kept[0] == 0


@pytest.mark.parametrize("stride", ["", "0", "-5", "x", "1.5", "ddim", "ddim0", "ddim10,10", "10,,10", "ddim1", None])
def test_what_is_no_stride_is_refused(stride: str) -> None:
    with pytest.raises(UserError, match="steps"):
        kept_timesteps(100, stride)


@pytest.mark.parametrize("stride", ["1", "2", "7", "10,5,3", "ddim50"])
def test_a_respaced_chain_marginally_equals_the_original(stride: str) -> None:
    whole = cosine_schedule(1000)
    chain = strided(whole, stride)
    torch.testing.assert_close(chain.alpha_bar, whole.alpha_bar[chain.timesteps], rtol=1e-10, atol=1e-15)
    assert chain.num_train_timesteps == 1000


def test_a_respaced_chain_has_betas_of_its_own() -> None:
    whole = cosine_schedule(1000)
    chain = strided(whole, 10)
    assert (chain.betas[1:] > 10 * whole.betas[chain.timesteps[1:]]).sum() >= 8


def test_respacing_twice_remembers_the_original_timesteps() -> None:
    chain = strided(strided(cosine_schedule(1000), 100), 10)
    assert chain.timesteps.tolist() == [kept_timesteps(1000, 100)[i] for i in kept_timesteps(100, 10)]
    assert chain.num_train_timesteps == 1000


@pytest.mark.parametrize("num_steps", [1, 2])
def test_shortest_chains_have_finite_tables(num_steps: int) -> None:
    chain = strided(cosine_schedule(1000), num_steps)
    step = chain.at(torch.arange(num_steps), torch.zeros(num_steps, 1, 2, 2))
    assert all(bool(torch.isfinite(table).all()) for table in step)
    assert step.sqrt_alpha_bar.shape == (num_steps, 1, 1, 1)


def test_coefficients_follow_the_type_of_the_data() -> None:
    schedule = cosine_schedule(10)
    step = schedule.at(torch.tensor([3]), torch.zeros(1, 1, 4, dtype=torch.float64))
    assert step.alpha_bar.dtype == torch.float64
    assert step.alpha_bar.item() == schedule.alpha_bar[3].item()
