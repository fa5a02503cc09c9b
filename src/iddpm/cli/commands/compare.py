"""`iddpm compare A.json B.json ...`: results of evaluations side by side, where they can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from iddpm.cli.arguments import parsed
from iddpm.cli.model_flags import PrintsJSON
from iddpm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CompareArguments(PrintsJSON):
    """The results to compare."""

    results: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="RESULT.json ...")]]
    """Files that iddpm evaluate --out wrote."""
    out: str | None = None
    """A picture of them to write: NAME.png."""


def run(words: Sequence[str]) -> int:
    """Compare results; return the exit code."""
    with parsed(CompareArguments, words, command="compare", description="Put evaluations side by side.") as arguments:
        if len(arguments.results) < 2:
            raise UserError("two or more are needed to compare", field="results", value=len(arguments.results))
        if arguments.out is not None and Path(arguments.out).suffix.lower() != ".png":
            raise UserError(f"{arguments.out} must be called NAME.png", field="out")
        from iddpm.cli.work.compare import compare

        return compare(arguments)
