from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iddpm.errors import UserError
from tests.data.making import everything, opened


@pytest.mark.parametrize("name", ["images", "arr_0"])
def test_npz_holds_items_and_labels(tmp_path: Path, name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", **{name: images, "labels": np.array([0, 1, 2, 0, 1, 2])})
    splits = opened(f"npz:{tmp_path}/a.npz", validation=0.0)
    assert splits.spec.shape == (3, 8, 8)
    assert splits.spec.class_names == ("0", "1", "2")
    assert np.array_equal(everything(splits), images.transpose(0, 3, 1, 2))


def test_labels_must_be_numbers_of_classes(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8), dtype=np.uint8)
    for labels, message in (
        (["a", "b", "c"], "number the classes"),
        ([0.5, 1, 2], "number the classes"),
        ([0, 1], "for each of 3"),
        ([0, 1, 2**40], "99999 at most"),
    ):
        np.savez(tmp_path / "a.npz", images=images, labels=np.array(labels))
        with pytest.raises(UserError, match=message):
            opened(f"npz:{tmp_path}/a.npz")
    with pytest.raises(UserError, match="use npz:"):
        opened(f"npy:{tmp_path}/a.npz")
    np.save(tmp_path / "none.npy", np.zeros((3, 0, 8), dtype=np.uint8))
    with pytest.raises(UserError, match="no items"):
        opened(f"npy:{tmp_path}/none.npy")
