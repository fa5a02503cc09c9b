"""`iddpm reference DATA`: what evaluations need of a reference, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.data_flags import ReadingArguments, Split
from iddpm.cli.feature_flags import FeatureFlags
from iddpm.cli.model_flags import Device
from iddpm.errors import UserError
from iddpm.files import check_place


@dataclass(frozen=True, kw_only=True)
class ReferenceArguments(FeatureFlags, ReadingArguments, Device):
    """The images, and what to keep of them."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]]
    """A run (its own data), a preset's name, a folder or zip of images, an npz, or a source such as folder:PATH."""
    out: str = "reference.npz"
    """The file to write."""
    split: Split | None = None
    """Part of the data. None takes the training part of a run's or a preset's, and all of other data."""
    count: int | None = None
    """Number of images, evenly spread over the data. None takes all."""
    moments_only: bool = False
    """Keep a small file: nothing but Frechet distances can be made of it."""
    batch_size: int = 64
    """Images worked on at once."""


def run(words: Sequence[str]) -> int:
    """Store a reference; return the exit code."""
    description = "Store a reference's statistics."
    with parsed(ReferenceArguments, words, command="reference", description=description) as arguments:
        check_least(arguments, batch_size=1)
        if Path(arguments.out).suffix != ".npz":
            raise UserError(f"{arguments.out} must be called NAME.npz", field="out")
        check_place(Path(arguments.out), "out")
        from iddpm.cli.work.reference import store

        return store(arguments)
