from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from iddpm.errors import UserError
from iddpm.files import locked, replacing


def test_one_at_a_time(tmp_path: Path) -> None:
    release = locked(tmp_path / "lock", "taken")
    with pytest.raises(UserError, match="taken"):
        locked(tmp_path / "lock", "taken")
    release()
    locked(tmp_path / "lock", "taken")()


def test_others_may_read_what_they_may_read_of_other_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "checkpoint") as beside:
            beside.mkdir()
            save_file({"x": torch.zeros(1)}, beside / "model.safetensors")
        with replacing(tmp_path / "x.safetensors") as beside:
            save_file({"x": torch.zeros(1)}, beside)
    finally:
        os.umask(before)
    for name in ("checkpoint/model.safetensors", "x.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
