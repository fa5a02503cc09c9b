"""What all tests share: a fixed seed, a cache of their own, and one thread each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDDPM_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
