"""Other models' samples are what they say they are, or refused before any work."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iddpm.errors import UserError
from iddpm.experiments.rivals.given import given_samples
from iddpm.experiments.scales import tiny

DIGITS = tiny().classes.data


def images(path: Path, count: int, side: int = 8) -> str:
    np.savez(path, np.random.default_rng(count).integers(0, 256, (count, side, side, 1), dtype=np.uint8))
    return str(path)


def test_as_many_are_judged_as_of_the_others(tmp_path: Path) -> None:
    given = given_samples(images(tmp_path / "a.npz", 300), DIGITS, 200)
    assert len(given.images()) == 200
    assert len(given_samples(given.path, DIGITS, 1000).images()) == 300


def test_other_samples_are_another_subject(tmp_path: Path) -> None:
    one, other = (given_samples(images(tmp_path / f"{count}.npz", count), DIGITS, 200) for count in (300, 301))
    assert one.key != other.key
    assert one.key == given_samples(one.path, DIGITS, 200).key


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: images(folder / "a.npz", 300, side=16), "has images of 16x16x1, and the data of 8x8x1"),
        (lambda folder: images(folder / "a.npz", 99), "has 99 images, and scores need 100"),
        (lambda folder: str(folder / "a.tar"), "is not known"),
        (lambda folder: str(folder / "none.npz"), "none.npz"),
    ],
)
def test_what_cannot_be_judged_is_refused(make: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as error:
        given_samples(make(tmp_path), DIGITS, 200)
    assert error.value.field == "samples"
    assert "\n" not in str(error.value)
