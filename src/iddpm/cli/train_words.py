"""The words of `iddpm train` that make a configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

from iddpm.config import Config
from iddpm.presets import PRESETS


def train_command(config: Config, run: Path) -> str:
    """Return the command line that trains `config` in the directory `run`."""
    start = "digits" if config.data.source == "digits" else "cifar10"
    return shlex.join(["iddpm", "train", start, "--run", str(run), *changed_flags(config, start)])


def changed_flags(config: Config, start: str) -> list[str]:
    """Return the flags and values that make the preset `start` into `config`."""
    words: list[str] = []
    for section in Config.model_fields:
        ours, theirs = getattr(config, section), getattr(PRESETS[start].config, section)
        for field in type(ours).model_fields:
            value, name = getattr(ours, field), field.replace("_", "-")
            if value == getattr(theirs, field):
                continue
            if isinstance(value, bool):
                words.append(f"--{section}.{name}" if value else f"--{section}.no-{name}")
            else:
                words += [f"--{section}.{name}", *map(str, value if isinstance(value, tuple) else [value])]
    return words
