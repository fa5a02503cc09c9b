"""Opening data for a command: with progress, and a line for what was left out."""

from __future__ import annotations

from iddpm.cli.progress import ProgressStages, say
from iddpm.config import DataConfig
from iddpm.data import Splits, open_source

MOST_LINES = 20


def open_with_progress(config: DataConfig) -> Splits:
    """See `open_source`."""
    left_out: list[str] = []
    with ProgressStages() as stages:
        splits = open_source(config, stages.update, left_out.append)
    for line in left_out[:MOST_LINES]:
        say(f"left out: {line}")
    if len(left_out) > MOST_LINES:
        say(f"left out: {len(left_out) - MOST_LINES} more")
    return splits
