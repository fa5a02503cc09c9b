from __future__ import annotations

import numpy as np

from tests.data.making import everything, opened


def test_digits_are_all_there_and_split_for_ever() -> None:
    splits = opened("digits", validation=1 / 6)
    assert splits.validation is not None
    assert len(splits.train) + len(splits.validation) == 1797
    assert splits.spec.levels == 17
    assert everything(splits).max() == 16
    held_out = splits.validation.items(np.arange(5))
    again = opened("digits", validation=1 / 6).validation
    assert again is not None
    assert np.array_equal(held_out, again.items(np.arange(5)))
    labels = splits.validation.labels(np.arange(8))
    assert labels is not None
    # A change of the split would make every published figure a different one: this pins it.
    assert labels.tolist() == [0, 5, 0, 6, 7, 8, 0, 5]
