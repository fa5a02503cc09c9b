"""What tests of planning share: a tiny run, and the same with a plan, each test's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from iddpm.cli.main import main
from tests.cli.test_journeys import TINY_FLAGS

FEW = ["--count", "40", "--batch-size", "20", "--device", "cpu"]
"""Flags of iddpm plan with which it takes a second."""


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "digits", "--run", str(path), *TINY_FLAGS]) == 0
    return path


@pytest.fixture(scope="session")
def _planned(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copytree(_trained, tmp_path_factory.mktemp("planned") / "run"))
    assert main(["plan", str(path), *FEW]) == 0
    return path


@pytest.fixture
def run(_trained: Path, tmp_path: Path) -> Path:
    """A copy of a run without a plan."""
    return Path(shutil.copytree(_trained, tmp_path / "run"))


@pytest.fixture
def planned(_planned: Path, tmp_path: Path) -> Path:
    """A copy of a run with a plan."""
    return Path(shutil.copytree(_planned, tmp_path / "planned"))


def as_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """Return what a command prints with --json."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result
