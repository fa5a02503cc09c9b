from __future__ import annotations

import json
from pathlib import Path

import pytest

from iddpm.config import Config, load_config
from iddpm.errors import UserError
from iddpm.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_json_and_back(name: str, tmp_path: Path) -> None:
    config = preset(name)
    (tmp_path / "a.json").write_text(json.dumps(config.to_json()))
    assert load_config(tmp_path / "a.json") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"stepz": 3}}, "training.stepz: there is no such field"),
        ({"training": {"steps": -3}}, "training.steps: should be greater than or equal to 1, got -3"),
        ({"network": {"channel_multipliers": "x"}}, "network.channel_multipliers"),
        ({"format": 99}, "format version 99"),
        ({"objective": {"kind": "simple"}}, "objective.kind: simple teaches no variance"),
        ({"diffusion": {"schedule": "linear", "cosine_offset": 0.1}}, "cosine_offset: belongs to"),
        ({"training": {"ema_rates": []}}, "ema_rates: needs at least one"),
        ({"data": {"size": 32}, "network": {"low_resolution": 12}}, "low_resolution: 12 must be a proper divisor"),
        ([1], "holds no configuration"),
    ],
)
def test_mistakes_name_the_file_the_field_and_the_value(values: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(values))
    with pytest.raises(UserError, match=message) as caught:
        load_config(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_version_normalised_in_32_groups() -> None:
    now = Config().to_json()
    network = {name: value for name, value in now["network"].items() if name != "norm_groups"}
    then = {**now, "format": 1, "network": network}
    assert Config.from_json(then, "a file").network.norm_groups == 32
    assert Config.from_json({**then, "format": 2}, "a file").network.norm_groups is None
    assert Config.from_json(now, "a file").network.norm_groups is None


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().training.steps = 3  # type: ignore[misc]
