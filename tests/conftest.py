"""What all tests share: a cache of their own, compiled kernels that are shared, a fixed seed, and one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

KERNELS = Path(os.environ.get("IDDPM_CACHE") or Path.home() / ".cache" / "iddpm-tests") / "kernels"
"""Compiled once for all tests and processes: their names hold a hash of all that they depend on."""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    KERNELS.mkdir(parents=True, exist_ok=True)
    (cache / "kernels").symlink_to(KERNELS)
    monkeypatch.setenv("IDDPM_CACHE", str(cache))
    torch.set_num_threads(1)
    torch.manual_seed(0)
