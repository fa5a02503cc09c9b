from __future__ import annotations

import numpy as np
import pytest
import torch

from iddpm.config import DatasetSpec
from iddpm.data import Dataset, Rows, split
from iddpm.data.dataset import Indices
from iddpm.data.scaling import Levels
from iddpm.errors import UserError


class Squares(Dataset):
    """The squares of 0 ... 15, which lie nowhere."""

    spec = DatasetSpec(channels=1, size=(1, 1))

    def __len__(self) -> int:
        return 16

    def items(self, rows: Indices) -> Levels:
        return (rows**2).astype(np.uint8).reshape(-1, 1, 1, 1)


def test_ones_own_dataset_is_ten_lines_and_makes_its_items_on_demand() -> None:
    assert Squares().labels(np.arange(3)) is None
    batch = Squares().batch(np.array([0, 15]))
    assert batch.dtype == torch.float32
    assert batch.flatten().tolist() == [-1, pytest.approx(225 / 127.5 - 1)]


def test_any_dataset_can_be_split() -> None:
    splits = split(Squares(), 0.25, ("a.png: is no picture",))
    assert isinstance(splits.validation, Rows)
    parts = [part.items(np.arange(len(part))).ravel().tolist() for part in (splits.train, splits.validation)]
    assert [len(part) for part in parts] == [12, 4]
    assert sorted(parts[0] + parts[1]) == [i**2 for i in range(16)]
    assert splits.left_out == ("a.png: is no picture",)
    with pytest.raises(UserError, match="1 item.s. cannot be split into training and held-out data"):
        split(Rows(Squares(), np.arange(1)), 0.5)


def test_fingerprints_are_those_of_old_runs() -> None:
    # Runs keep this digest, and refuse to go on where it differs.
    assert split(Squares(), 0.25).fingerprint() == "e288735949e6f136c263a3b58244c0d9"
