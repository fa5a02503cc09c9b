"""`iddpm nll MODEL`: bits/dim of data under a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import Chain
from iddpm.names import PLANNED, STRIDES
from iddpm.registry import OneOf


@dataclass(frozen=True, kw_only=True)
class NllArguments(Chain):
    """The items to score, and how."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A run, one of its checkpoints, or a file of weights."""
    data: str | None = None
    """Another data source than the model's own: folder:PATH, zip:PATH, npz:PATH ... (all of it is scored)."""
    split: Literal["validation", "train"] | None = None
    """Part of the model's own data. None takes the held-out part."""
    count: int | None = None
    """Score the first so many items. None scores all, each exactly once."""
    error: float | None = None
    """Estimate from few terms, drawn at random, until the 95 % interval is within so many bits/dim: 0.01, say."""
    stride: Annotated[str, OneOf(STRIDES, also=(PLANNED,))] | None = None
    """Kind of steps. None takes those of iddpm plan where there is a plan, and evenly spaced ones elsewhere."""
    batch_size: int = 128
    """Items scored at once."""


def run(words: Sequence[str]) -> int:
    """Score data; return the exit code."""
    with parsed(NllArguments, words, command="nll", description="Score data in bits/dim, term by term.") as arguments:
        check_least(arguments, batch_size=1, seed=0)
        from iddpm.cli.work.nll import score

        return score(arguments)
