"""Opening data for a command: with progress, and a line for what was left out."""

from __future__ import annotations

from iddpm.cli.progress import ProgressLine, say
from iddpm.config import DataConfig
from iddpm.data import Splits, open_source

MOST_LINES = 20


def open_with_progress(config: DataConfig) -> Splits:
    """See `open_source`."""
    lines: dict[str, ProgressLine] = {}

    def progress(what: str, done: int, count: int) -> None:
        lines.setdefault(what, ProgressLine(what, count)).update(done)

    left_out: list[str] = []
    splits = open_source(config, progress, left_out.append)
    for line in left_out[:MOST_LINES]:
        say(f"left out: {line}")
    if len(left_out) > MOST_LINES:
        say(f"left out: {len(left_out) - MOST_LINES} more")
    return splits
