"""What all tests share: an empty cache for each, kernels that are compiled once, a fixed seed, and one thread.

Cache and threads are set in the environment, so that the processes which tests start have them too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, which reads it

import pytest
import torch

from iddpm.kernels import build

CACHE = Path(os.environ.setdefault("IDDPM_CACHE", str(Path.home() / ".cache" / "iddpm-tests")))
"""The cache while tests are collected. Its kernels serve all tests: their names hold a hash of all they depend on."""


def pytest_configure() -> None:
    """Compile the kernels, if need be, before workers begin, each of which would compile its own."""
    with contextlib.suppress(build.KernelsError):
        build.built()
    (CACHE / "kernels").mkdir(parents=True, exist_ok=True)


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the cache, the seed and the number of threads for one test."""
    cache = tmp_path_factory.mktemp("cache")
    (cache / "kernels").symlink_to(CACHE / "kernels")
    monkeypatch.setenv("IDDPM_CACHE", str(cache))
    torch.set_num_threads(1)
    torch.manual_seed(0)
