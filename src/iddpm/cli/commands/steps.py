"""`iddpm steps RUN`: quality against the number of steps, for every sampler, variance and stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.feature_flags import FeatureFlags
from iddpm.cli.model_flags import Weights
from iddpm.names import PLANNED, STRIDES
from iddpm.registry import OneOf

DESCRIPTION = (
    "Judge samples drawn in few steps, and bits/dim on them: planned steps (iddpm plan) have the best bits/dim, and"
    " often not the best samples."
)
USUAL_STRIDES = tuple(name for name in STRIDES if STRIDES.fact(name, "usual", True))


@dataclass(frozen=True, kw_only=True)
class StepsArguments(FeatureFlags, Weights):
    """The settings to try, and how to judge them."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run that has been planned (iddpm plan RUN)."""
    steps: tuple[int, ...] | None = None
    """Evaluations of the network for a sample, beside the whole chain. None takes 5, 10, 25 and 50, if it is longer."""
    count: int | None = None
    """Samples for each FD, at least 100. None takes 1,000, or as many as there are training items if they are fewer."""
    items: int | None = None
    """Score the last so many held-out items. None takes 256, or as many as were not planned on if they are fewer."""
    whole: int | None = None
    """So many evenly spaced steps stand for the whole chain, if that would take too long. None takes all."""
    methods: tuple[str, ...] | None = None
    """Try only these variances and samplers ("learned" is the model's own variance). None tries all there are."""
    strides: tuple[Annotated[str, OneOf(STRIDES, also=(PLANNED,))], ...] = (*USUAL_STRIDES, PLANNED)
    """Try only these; every n-th step, which the default leaves out, is nearly evenly spaced."""
    reference: str | None = None
    """A file by iddpm reference, or data: a run, a preset, an npz, a folder or zip, whose pictures are made of the
    size and the channels that the model draws. None takes the training images."""
    seed: int = 0
    """Seed of all samples: image i begins with the same noise in every setting."""
    batch_size: int = 128
    """Images worked on at once."""
    out: str | None = None
    """File of the picture. None takes steps.png in the run, beside steps.json, which keeps all results."""


def run(words: Sequence[str]) -> int:
    """Judge few steps; return the exit code."""
    with parsed(StepsArguments, words, command="steps", description=DESCRIPTION) as arguments:
        check_least(arguments, batch_size=1, seed=0)
        from iddpm.cli.work.steps import judge_steps

        return judge_steps(arguments)
