"""`iddpm plan RUN`: the best few steps of the chain, for every number of steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import Clipping, Weights

DESCRIPTION = (
    "Choose the best few steps by the bound itself: iddpm nll takes them, and samples are often better on evenly spaced"
    " ones (iddpm steps compares both). A run has one plan, plan.npz: another replaces it."
)


@dataclass(frozen=True, kw_only=True)
class PlanArguments(Clipping, Weights):
    """The model to plan for, and the items to plan on."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run, or another model that names its data."""
    count: int | None = None
    """Plan on the first so many held-out items. None takes 256, or half of them if that is fewer."""
    candidates: int | None = None
    """Choose from so many steps of the chain, closer at the data's end. None chooses from all, which takes longest."""
    longest: int | None = None
    """The longest chain to plan. None plans up to 1,000 steps."""
    seed: int = 0
    """Seed of the noise: item i depends on the seed and on i alone."""
    batch_size: int = 64
    """Items worked on at once; what is done of a batch is done again after an interruption."""


def run(words: Sequence[str]) -> int:
    """Plan few steps; return the exit code."""
    with parsed(PlanArguments, words, command="plan", description=DESCRIPTION) as arguments:
        check_least(arguments, count=1, candidates=2, longest=1, batch_size=1, seed=0)
        from iddpm.cli.work.plan import make_plan

        return make_plan(arguments)
