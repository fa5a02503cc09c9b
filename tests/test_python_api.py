"""What one does with iddpm in Python, in a few lines each: the bodies of these functions stand in the guide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import iddpm
from iddpm.diffusion import from_betas
from tests.training.tiny import tiny


@pytest.fixture
def config() -> iddpm.Config:
    return tiny()


@pytest.fixture
def data(config: iddpm.Config) -> iddpm.Splits:
    return iddpm.open_source(config.data)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> iddpm.Model:
    config = tiny(network={"classes": True})
    return iddpm.train(config, iddpm.open_source(config.data), tmp_path_factory.mktemp("runs") / "a")


def test_own_network(config: iddpm.Config, data: iddpm.Splits, tmp_path: Path) -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(2, 2, 3, padding=1)  # x_t and t in; mean and variance parts out

        def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:  # t: int64, [batch] or [1]
            time = (t / 20).reshape(-1, 1, 1, 1).expand(len(x_t), 1, 8, 8)
            return self.layer(torch.cat([x_t, time], dim=1))

    diffusion = iddpm.Model.from_config(config, data.spec).diffusion
    model = iddpm.Model(Network(), diffusion, data.spec)
    iddpm.train(config, data, tmp_path / "run", model=model)
    model = iddpm.load(tmp_path / "run", model=iddpm.Model(Network(), diffusion, data.spec))
    print(iddpm.score(model, data.validation, count=8).total)

    assert (model.step, model.weights) == (4, "ema 0.998")


def test_own_schedule(config: iddpm.Config, data: iddpm.Splits, tmp_path: Path) -> None:
    betas = torch.linspace(1e-4, 0.3, 20) ** 2
    diffusion = iddpm.Diffusion(from_betas(betas), iddpm.Parameterization.named("v", "fixed_small"))
    network = iddpm.UNet(data.spec.size, in_channels=1, out_channels=1, channels=32)
    trainer = iddpm.Trainer(iddpm.Model(network, diffusion, data.spec), config.training)
    for step in range(3):
        rows = np.arange(16) + 16 * step
        trainer.optimize(trainer.draw(data.train.batch(rows)))
    images = iddpm.sample(trainer.averaged_model(), 4, steps=5)

    assert images.shape == (4, 1, 8, 8)


@pytest.mark.slow
def test_own_dataset(tmp_path: Path) -> None:
    class Waves(iddpm.Dataset):
        spec = iddpm.DatasetSpec(channels=1, size=(32,))

        def __len__(self) -> int:
            return 1000

        def items(self, rows: np.ndarray) -> np.ndarray:  # whole numbers, [batch, channels, *size]
            waves = np.sin(np.arange(32) / (2 + rows[:, None, None] % 5))
            return (127.5 * (1 + waves)).astype(np.uint8)

    config = iddpm.Config(network={"channels": 32, "num_res_blocks": 1}, training={"steps": 2, "batch_size": 8})
    model = iddpm.train(config, iddpm.Splits(train=Waves(), validation=None), tmp_path / "run")

    assert iddpm.sample(model, 2, steps=5).shape == (2, 1, 32)


def test_own_loop(config: iddpm.Config, data: iddpm.Splits, tmp_path: Path) -> None:
    trainer = iddpm.Trainer.from_config(config, data.spec)
    generator = np.random.default_rng(0)
    while trainer.step < 5:
        rows = generator.integers(0, len(data.train), 16)
        result = trainer.optimize(trainer.draw(data.train.batch(rows)))
        print(trainer.step, float(result.total.mean()))
    iddpm.save(tmp_path / "run", trainer.averaged_model())  # a run: iddpm sample run, iddpm nll run, ...
    iddpm.save(tmp_path / "model.safetensors", trainer.averaged_model())  # or one file, which describes itself
    model = iddpm.load(tmp_path / "run")

    assert model.step == 5
    same = iddpm.load(tmp_path / "model.safetensors")
    assert torch.equal(iddpm.sample(model, 2, steps=2), iddpm.sample(same, 2, steps=2))


def test_changed_fields() -> None:
    config = iddpm.preset("digits").with_changes(training={"steps": 5, "learning_rate": 1e-3})
    with pytest.raises(iddpm.UserError, match="diffusion.schedule: .* use one of cosine, linear"):
        config.with_changes(diffusion={"schedule": "cosin"})

    assert config.training.steps == 5


def test_classes_by_name(model: iddpm.Model) -> None:
    sevens = iddpm.sample(model, 4, steps=5, classes="7")
    mixed = iddpm.sample(model, 4, steps=5, classes=["7", "0", 1, 2])

    assert torch.equal(sevens[0], mixed[0])
    assert not torch.equal(sevens[1], mixed[1])
