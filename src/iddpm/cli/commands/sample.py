"""`iddpm sample MODEL`: a PNG grid, a folder of PNGs, or an npz, in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import Drawing
from iddpm.names import CONDITIONS


@dataclass(frozen=True, kw_only=True)
class SampleArguments(Drawing):
    """The samples to draw, and their place. Every condition adds a field of its name."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A run, one of its checkpoints, or a file of weights."""
    count: int = 64
    """Number of samples."""
    out: str = "samples.png"
    """NAME.png is a grid, NAME.npz an array as the authors' scripts write it, any other name a folder of PNGs. Missing
    folders on the way are made."""

    def conditions(self) -> dict[str, str]:
        """Return the words that were given for conditions, by their names."""
        words = {name: getattr(self, name) for name in CONDITIONS}
        return {name: text for name, text in words.items() if text is not None}


def arguments() -> type[SampleArguments]:
    """Return the arguments with those of the conditions that are registered now."""
    fields = []
    for name in CONDITIONS:
        flag = tyro.conf.arg(name=CONDITIONS.fact(name, "flag", name), help=f"Condition: {CONDITIONS.about(name)}.")
        fields.append((name, Annotated[str | None, flag], dataclasses.field(default=None)))
    return dataclasses.make_dataclass(
        "SampleArguments",
        fields,
        bases=(SampleArguments,),
        frozen=True,
        kw_only=True,
        namespace={"__module__": __name__},
    )


def run(words: Sequence[str]) -> int:
    """Draw samples; return the exit code."""
    with parsed(arguments(), words, command="sample", description="Draw samples from a model.") as given:
        check_least(given, count=1, batch_size=1, seed=0)
        from iddpm.cli.work.sample import draw

        return draw(given)
