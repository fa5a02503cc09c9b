from __future__ import annotations

import numpy as np
import pytest

from iddpm.data.sources.photos import Crops
from iddpm.errors import UserError
from tests.data.making import opened


def test_photos_hold_out_a_region() -> None:
    splits = opened("photos", size=16, validation=0.2)
    assert isinstance(splits.validation, Crops)
    assert 0.2 < splits.validation.corners[:64, 0].mean() < 0.8  # the first ones are of both photographs
    train, validation = splits.train, splits.validation
    side = 16
    right_of_train = train.corners[:, 2].max() + side  # type: ignore[attr-defined]
    left_of_validation = validation.corners[:, 2].min()
    assert right_of_train <= left_of_validation
    assert train.items(np.array([0, len(train) - 1])).shape == (2, 3, 16, 16)
    with pytest.raises(UserError, match="do not fit"):
        opened("photos", size=200)
    with pytest.raises(UserError, match="data.channels: is 3 in photos, got 1; use data.channels=3"):
        opened("photos", channels=1)


def test_crops_need_not_be_square() -> None:
    splits = opened("photos", size=(16, 24), validation=0.2)
    assert splits.spec.shape == (3, 16, 24)
    assert splits.train.items(np.array([0, len(splits.train) - 1])).shape == (2, 3, 16, 24)
