"""`iddpm report RUN`: one self-contained page, and its figures on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import RunsOn


@dataclass(frozen=True, kw_only=True)
class ReportArguments(RunsOn):
    """The run, and how much of it to measure."""

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run's directory."""
    samples: int = 64
    """Samples to show, drawn on the whole chain."""
    judged: int = 500
    """Samples to judge at most, beside as many held-out items, where the data has classes. 0 judges none."""
    items: int | None = None
    """Held-out items to score. None scores all."""
    strides: tuple[str, ...] = ("50", "25")
    """Shorter chains whose bound stands beside the whole one's."""
    seed: int = 0
    """Seed of the samples."""


def run(words: Sequence[str]) -> int:
    """Write a report; return the exit code."""
    with parsed(ReportArguments, words, command="report", description="Write one page about a run.") as arguments:
        check_least(arguments, samples=1, items=1)
        from iddpm.cli.work.report import write_report

        return write_report(arguments)
