"""Sizes of experiments, on their own data and on other data."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iddpm.build import build_network
from iddpm.config import Config, DataConfig, DatasetSpec
from iddpm.experiments.scales import quiet, scale_of, tiny, varied
from iddpm.names import EXPERIMENTS, SCALES
from iddpm.speed import Cost


def test_a_page_on_other_data_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert str(scale_of("tiny")) == "tiny"
    with zipfile.ZipFile(tmp_path / "cifar10_train.zip", "w") as archive:
        for number in range(4):
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(picture, "PNG")
            archive.writestr(f"{number}.png", picture.getvalue())
    larger = scale_of("tiny", DataConfig(source=f"zip:{tmp_path}/cifar10_train.zip", size=16, channels=3))
    assert str(larger) == "tiny-cifar10_train-16"
    assert larger.base.training.batch_size == tiny().base.training.batch_size // 2
    assert str(scale_of("small", DataConfig(source="digits"))) == "small-digits"


def test_other_data_replaces_the_scales_own() -> None:
    data = DataConfig(source="digits", size=8, channels=1, levels=17)
    assert scale_of("tiny", data).base.data == data


@pytest.mark.slow
def test_every_experiment_is_laid_out_on_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks fit the data; what a step costs is not counted, which takes long."""

    def built(config: Config, spec: DatasetSpec) -> Cost:
        with torch.device("meta"):
            build_network(config, spec)
        return Cost(1, 10**9)

    monkeypatch.setattr("iddpm.experiments.diffusion_run.count_flops", built)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (64, 16, 16, 3), dtype=np.uint8), labels=np.arange(64) % 2)
    scale = scale_of("tiny", DataConfig(source=f"npz:{tmp_path}/x.npz"))
    for name in EXPERIMENTS:
        for cell in EXPERIMENTS[name]().cells(scale, 1):
            assert cell.subject.flops() > 0
    assert scale.classes.network.classes
    assert not scale_of("tiny", DataConfig(source="photos", size=16, channels=3)).classes.network.classes


@pytest.mark.parametrize("name", list(SCALES))
def test_runs_do_not_look_at_themselves(name: str) -> None:
    scale = scale_of(name)
    assert scale.name == name
    for config in (scale.base, scale.classes, scale.widened, quiet(Config())):
        assert config.training.validate_every == config.training.sample_every == 0


def test_what_is_varied_is_all_that_changes() -> None:
    base = tiny().base
    assert varied(base, seed=base.training.seed) == base
    config = varied(base, schedule="linear", num_timesteps=7, objective="L_simple", channels=3, steps=9, seed=5)
    assert (config.diffusion.schedule, config.diffusion.num_timesteps, config.diffusion.variance) == (
        "linear",
        7,
        "fixed_small",
    )
    assert (config.objective.kind, config.objective.timesteps) == ("simple", "uniform")
    assert (config.network.channels, config.training.steps, config.training.seed) == (3, 9, 5)
    assert varied(base, objective="L_vlb", seed=0).objective.timesteps == "importance"
