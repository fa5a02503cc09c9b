from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iddpm.cli.main import main
from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import ArrayDataset, Splits, split
from iddpm.data.sources.source import Source
from iddpm.evaluation import classifier
from iddpm.names import SOURCES
from iddpm.progress import Progress, Work
from tests.cli.test_journeys import TINY_FLAGS


class Noise(Source):
    """Grey levels at random, in two classes, dark and bright."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        yield Progress("rolling dice", 1, 1)
        spec = DatasetSpec(channels=1, size=(8, 8), class_names=("a", "b"))
        labels = np.arange(300) % 2
        items = np.random.default_rng(0).integers(0, 128, (300, 1, 8, 8)) + 128 * labels[:, None, None, None]
        return split(ArrayDataset(spec, items.astype(np.uint8), labels), config.validation)


@pytest.fixture
def _noise() -> Iterator[None]:
    SOURCES.register("noise", Noise, "grey levels at random", path=None)
    yield
    SOURCES.unregister("noise")


@pytest.mark.usefixtures("_noise")
def test_a_source_from_outside_works_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 20)
    run = str(tmp_path / "run")
    data = ["--data.source", "noise", "--data.levels", "None", "--data.num-classes", "2", "--network.classes"]
    assert main(["train", "digits", "--run", run, *data, *TINY_FLAGS]) == 0
    assert main(["nll", run, "--count", "4", "--steps", "2"]) == 0
    assert main(["nll", run, "--data", "noise", "--count", "4", "--steps", "2"]) == 0
    assert main(["evaluate", run, "--reference", "noise", "--count", "100", "--steps", "2"]) == 0
    assert "FD" in capsys.readouterr().out
    assert main(["train", "digits", "--run", f"{run}2", "--data.source", "noise", *TINY_FLAGS]) == 2
    assert "data.levels: is 256 in noise, got 17" in capsys.readouterr().err
