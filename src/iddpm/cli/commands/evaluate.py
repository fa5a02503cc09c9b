"""`iddpm evaluate SAMPLES`: how good samples are, with error bars and all that is needed to compare the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, not_default, parsed
from iddpm.cli.data_flags import ReadingArguments, Split, is_model
from iddpm.cli.feature_flags import FeatureFlags
from iddpm.cli.model_flags import Drawing
from iddpm.errors import UserError
from iddpm.files import check_place

FOR_ALL_SAMPLES = {"batch_size", "device", "json"}
"""Fields of `Drawing` that mean something for samples that are there already."""


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(FeatureFlags, ReadingArguments, Drawing):
    """The samples to judge, and their reference."""

    samples: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SAMPLES")]]
    """A run or another model (samples are drawn as they are needed), a folder or zip of images, or an npz."""
    reference: str | None = None
    """A file by iddpm reference, or data: a run, a preset's name, a folder or zip, an npz. None takes the run's own."""
    split: Split | None = None
    """Part of the reference. None takes the training part of a run's or a preset's data, all of other data."""
    count: int | None = None
    """Number of samples. None takes all there are; of a model as many as the reference has, and 50 thousand at most."""
    out: str | None = None
    """File to keep the result in for iddpm compare: NAME.json."""


def run(words: Sequence[str]) -> int:
    """Judge samples; return the exit code."""
    description = "Judge samples against real data."
    with parsed(EvaluateArguments, words, command="evaluate", description=description) as arguments:
        _check(arguments)
        from iddpm.cli.work.evaluate import judge

        return judge(arguments)


def _check(arguments: EvaluateArguments) -> None:
    """Raise UserError for what is wrong without a look at the images."""
    check_least(arguments, count=1, batch_size=1, seed=0)
    if arguments.out is not None:
        if Path(arguments.out).suffix != ".json":
            raise UserError(f"{arguments.out} must be called NAME.json", field="out")
        check_place(Path(arguments.out), "out")
    of_models = {field.name for field in fields(Drawing)} - FOR_ALL_SAMPLES
    unused = [name for name in not_default(arguments) if name in of_models]
    if unused and not is_model(arguments.samples):
        raise UserError(f"{arguments.samples} is no model to draw from", field=unused[0], way="leave it out")
