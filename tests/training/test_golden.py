"""The authors' numbers: five optimizer steps of the hybrid objective."""

from __future__ import annotations

import torch

from iddpm.config import (
    Config,
    DatasetSpec,
    DiffusionConfig,
    NetworkConfig,
    TrainingConfig,
)
from iddpm.training.trainer import Trainer, TrainingBatch
from tests import golden


def test_five_steps() -> None:
    facts, data = golden.facts("training.json"), golden.tensors("training.safetensors")
    network = facts["network"]
    config = Config(
        network=NetworkConfig(
            channels=network["model_channels"],
            channel_multipliers=tuple(network["channel_mult"]),
            num_res_blocks=network["num_res_blocks"],
            attention_resolutions=tuple(8 // factor for factor in network["attention_resolutions"]),
            num_heads=network["num_heads"],
            norm_groups=32,
        ),
        diffusion=DiffusionConfig(
            schedule=facts["schedule"], num_timesteps=facts["num_timesteps"], rescale_timesteps=False
        ),
        training=TrainingConfig(
            learning_rate=facts["optimizer"]["lr"],
            weight_decay=facts["optimizer"]["weight_decay"],
            ema_rates=(facts["ema_rate"],),
            ema_warmup=False,
        ),
    )
    trainer = Trainer.from_config(config, DatasetSpec(channels=1, size=(8, 8), levels=256))
    weights = golden.ruled_network(network, (8, 8)).state_dict()
    trainer.network.load_state_dict(weights)
    trainer.averages.load_state_dicts({facts["ema_rate"]: weights})

    for step in range(5):
        ones = torch.ones(4)
        batch = TrainingBatch(data["x_start"][step], data["noise"][step], data["t"][step], ones)
        result = trainer.optimize(batch)
        torch.testing.assert_close(result.total, data["loss"][step], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(result.simple, data["mse"][step], rtol=1e-4, atol=1e-4)
        assert result.vlb is not None
        torch.testing.assert_close(1e-3 * result.vlb, data["vb"][step], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(result.gradient_norm, data["grad_norm"][step], rtol=1e-4, atol=1e-4)

    for model, expected in ((trainer.raw_model(), "probe_output"), (trainer.averaged_model(), "probe_output_ema")):
        with torch.no_grad():
            output = model.network(data["probe_x"], data["probe_t"])
        torch.testing.assert_close(output, data[expected], rtol=1e-4, atol=1e-4)
