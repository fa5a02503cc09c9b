"""Strides that are no one else's; those of the authors are in the golden tests."""

from __future__ import annotations

import pytest

from iddpm.diffusion import cosine_schedule, kept_timesteps, strided
from iddpm.errors import UserError


def test_quadratic_strides_are_closer_at_the_datas_end() -> None:
    assert kept_timesteps(101, "quadratic11") == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100]
    assert kept_timesteps(10, "quadratic10") == list(range(10))
    assert kept_timesteps(10, "quadratic1") == [9]
    for count in range(2, 101):
        kept = kept_timesteps(100, f"quadratic{count}")
        assert (len(kept), kept[0], kept[-1]) == (count, 0, 99)
        assert kept == sorted(set(kept))
    with pytest.raises(UserError, match="11 is more than the chain's 10"):
        kept_timesteps(10, "quadratic11")


def test_chosen_timesteps() -> None:
    schedule = cosine_schedule(50)
    assert strided(schedule, (3, 10, 49)).timesteps.tolist() == [3, 10, 49]
    for wrong in ((), (3, 3), (5, 2), (0, 50)):
        with pytest.raises(UserError, match="timesteps: must be increasing positions"):
            strided(schedule, wrong)
