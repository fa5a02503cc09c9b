"""Loading the model that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iddpm.errors import UserError
from iddpm.presets import preset

if TYPE_CHECKING:
    from iddpm.model import Model


def load_for_use(path: str, weights: str | None, preset_name: str | None, device: str) -> Model:
    """The model at `path` on its device; UserError for one that cannot be had."""
    from iddpm.acceleration import choose_device
    from iddpm.checkpoints.loading import load

    chosen = choose_device(device)
    config = None if preset_name is None else preset(preset_name)
    try:
        return load(Path(path), weights=weights, config=config).to(chosen)
    except UserError as error:
        raise error.renamed({"config": "preset"}) from None
