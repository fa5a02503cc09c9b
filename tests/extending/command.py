"""A command: `iddpm weigh MODEL`, how many parameters a model has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import parsed
from iddpm.names import COMMANDS


@dataclass(frozen=True)
class WeighArguments:
    """The model to weigh."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A run, one of its checkpoints, or a file of weights."""


def run(words: Sequence[str]) -> int:
    """Print the number of parameters; return the exit code."""
    with parsed(WeighArguments, words, command="weigh", description="Count a model's parameters.") as arguments:
        from iddpm import load

        print(sum(parameter.numel() for parameter in load(arguments.model).network.parameters()))
        return 0


COMMANDS.register("weigh", run, "count a model's parameters")
