from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iddpm.config import DataConfig
from iddpm.data import open_source
from iddpm.errors import UserError
from tests.data.making import folder_of, opened, picture


def test_folders_recurse_and_sub_folders_are_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, cats__a=picture(), cats__deep__b=picture(), dogs__c=picture(), dogs__d=picture())
    splits = opened(f"folder:{tmp_path}", validation=0.0)
    assert splits.spec.class_names == ("cats", "deep", "dogs")
    assert len(splits.train) == 4
    assert splits.validation is None


def test_names_before_an_underscore_are_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, cat_1=picture(), dog_1=picture(), dog_2=picture())
    splits = opened(f"folder:{tmp_path}", validation=0.0)
    labels = splits.train.labels(np.arange(3))
    assert labels is not None
    assert splits.spec.class_names == ("cat", "dog")
    assert labels.tolist() == [0, 1, 1]


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "a.png")
    (folder / "b.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(UserError, match="1 of 2 files cannot be used: b.png cannot be read"):
        open_source(DataConfig(source=f"folder:{folder}", validation=0.0))
