"""A configuration that trains in seconds."""

from __future__ import annotations

from typing import Any

from iddpm.config import Config
from iddpm.presets import preset


def tiny(**changes: Any) -> Config:
    """Digits with a small network; `changes` are by section, e.g. training={"steps": 4}."""
    values = preset("digits").model_dump()
    values["network"] |= {"channel_multipliers": (1, 1), "num_heads": 2}
    values["diffusion"] |= {"num_timesteps": 20}
    values["training"] |= {
        "steps": 4,
        "batch_size": 16,
        "log_every": 2,
        "validate_every": 0,
        "sample_every": 0,
        "checkpoint_every": 100,
        "decay": False,
    }
    for section, fields in changes.items():
        values[section] |= fields
    return Config.model_validate(values)
