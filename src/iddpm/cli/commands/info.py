"""`iddpm info MODEL|CONFIG` or `--preset NAME`: what it is, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import parsed
from iddpm.cli.model_flags import PrintsJSON
from iddpm.errors import Setting, UserError
from iddpm.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class InfoArguments(PrintsJSON):
    """The thing to describe."""

    model: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="MODEL")]] = None
    """A run, one of its checkpoints, a file of weights, or a configuration file."""
    preset: str | None = None
    """A preset instead."""


def run(words: Sequence[str]) -> int:
    """Describe what was named; return the exit code."""
    description = "Describe a model, configuration or preset. The JSON's config is one that iddpm train reads."
    with parsed(InfoArguments, words, command="info", description=description) as arguments:
        if (arguments.model is None) == (arguments.preset is None):
            what = ("info: name a model, or a preset with ", Setting("preset"))
            raise UserError(what, way=f"presets are {', '.join(PRESETS)}")
        from iddpm.cli.work.info import describe

        return describe(arguments)
