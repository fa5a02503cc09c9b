"""`iddpm bench PRESET|CONFIG|RUN`: how fast this machine trains, samples and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.commands.train import start_of
from iddpm.cli.model_flags import RunsOn
from iddpm.errors import Setting, UserError
from iddpm.names import Precision
from iddpm.presets import PRESETS


@dataclass(frozen=True, kw_only=True)
class BenchArguments(RunsOn):
    """The configuration to measure, and how."""

    what: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="PRESET|CONFIG|RUN")]]
    """A preset, a configuration file or a run."""
    batch_size: int | None = None
    """Items at once. None takes what a few seconds allow, at most a training batch."""
    seconds: float = 5.0
    """Time that each kind of work is measured for."""
    precision: Precision = "auto"
    """Precision of the network: auto as training chooses it."""


def run(words: Sequence[str]) -> int:
    """Measure speed; return the exit code."""
    description = f"Measure speed on made-up data of a configuration's kind. Presets: {', '.join(PRESETS)}."
    with parsed(BenchArguments, words, command="bench", description=description) as arguments:
        check_least(arguments, batch_size=1)
        if not 0 < arguments.seconds <= 3600:
            raise UserError("must be more than 0 and at most 3600", field="seconds", value=arguments.seconds)
        config, _, stored = start_of(arguments.what)
        spec = stored or config.data.expected_spec()
        if spec is None:
            what = (f"{arguments.what}: does not state ", Setting("data.size"), " and ", Setting("data.channels"))
            raise UserError(what, way="state them in a configuration, or give a run, which knows its data")
        from iddpm.cli.work.bench import measure

        return measure(arguments, config, spec)
