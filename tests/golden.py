"""The golden numbers in `tests/reference`, and the rules that their inputs were made by."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from iddpm.checkpoints.formats import openai
from iddpm.conditions import Classes, LowResolution
from iddpm.conditions.condition import Condition
from iddpm.config import DataConfig
from iddpm.diffusion import NoiseSchedule, cosine_schedule, linear_schedule, strided
from iddpm.networks import UNet

REFERENCE = Path(__file__).parent / "reference"


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(REFERENCE / name)


def facts(name: str) -> Any:
    return json.loads((REFERENCE / name).read_text())


def schedule_of(case: Mapping[str, Any]) -> NoiseSchedule:
    make = {"linear": linear_schedule, "cosine": cosine_schedule}[case["schedule"]]
    schedule = make(case["num_timesteps"])
    return strided(schedule, case["respacing"]) if case["respacing"] else schedule


def ruled_weight(name: str, shape: Sequence[int]) -> Tensor:
    """The weight of that name in the authors' network, by the rule of the reference's README."""
    count = math.prod(shape)
    i = np.arange(1, count + 1, dtype=np.float64)
    u = (i * 0.6180339887498949 + zlib.crc32(name.encode()) / 2**32) % 1.0
    v = (2 * u - 1) * math.sqrt(3)
    if len(shape) >= 2:
        v = v / math.sqrt(count / shape[0])
    elif name.endswith("weight"):
        v = 1 + 0.1 * v
    else:
        v = 0.1 * v
    return torch.tensor(v.astype(np.float32).reshape(shape))


def ruled_network(config: Mapping[str, Any], size: Sequence[int], *, upsampler: bool = False, **options: Any) -> UNet:
    """The network of a configuration in the authors' words, with weights by the rule."""
    conditions: list[Condition] = []
    if config.get("num_classes"):
        conditions.append(Classes([str(label) for label in range(config["num_classes"])]))
    if upsampler:
        conditions.append(LowResolution(config["in_channels"], size[0] // 2, DataConfig()))
    network = UNet(
        tuple(size),
        config["in_channels"],
        config["out_channels"],
        channels=config["model_channels"],
        channel_multipliers=config["channel_mult"],
        num_res_blocks=config["num_res_blocks"],
        attention_resolutions=[size[-1] // factor for factor in config["attention_resolutions"]],
        num_heads=config["num_heads"],
        num_heads_up=config.get("num_heads_upsample"),
        conditions=conditions,
        scale_shift_norm=config["use_scale_shift_norm"],
        norm_groups=32,
        **options,
    )
    shapes = {name: tensor.shape for name, tensor in openai.OpenAI().to_theirs(network.state_dict()).items()}
    theirs = {name: ruled_weight(name, shape) for name, shape in shapes.items()}
    network.load_state_dict(openai.OpenAI().to_ours(theirs))
    return network
