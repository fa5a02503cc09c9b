"""The flags of commands that run a model: what it runs on, which weights it has, and how its chain is walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from iddpm.names import MODEL, PLANNED, READINGS, SAMPLERS, STRIDES, Compile, Precision
from iddpm.registry import OneOf


@dataclass(frozen=True, kw_only=True)
class PrintsJSON:
    """How results are printed."""

    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True, kw_only=True)
class RunsOn(PrintsJSON):
    """What a network runs on."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """What the network computes in: float32 rounds nothing, auto is tf32 on a GPU and float32 elsewhere."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU, for work that is long enough to pay for it."""


@dataclass(frozen=True, kw_only=True)
class Weights(RunsOn):
    """Which weights a model has."""

    weights: str | None = None
    """raw, ema, or the rate of an average. None takes the first average."""
    preset: str | None = None
    """What the model is, for released files that do not say so."""


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """How predictions of x_0 are bounded."""

    clip: bool = True
    """Bound predictions of x_0 to the range of the data, as the authors do."""
    threshold: float | None = None
    """Bound them by dynamic thresholding at this quantile (0.995 is usual). None cuts at the range of the data."""


@dataclass(frozen=True, kw_only=True)
class Chain(Clipping, Weights):
    """Which steps of the chain a command takes, and with which variance."""

    steps: str | None = None
    """Steps of the chain: "50", sections "10,15,20", "ddim50" or "quadratic50". None takes all."""
    stride: Annotated[str, OneOf(STRIDES, also=(PLANNED,))] | None = None
    """Which of them. None takes evenly spaced ones; planned ones (see iddpm plan) are best for likelihoods."""
    variance: Annotated[str, OneOf(READINGS, also=(MODEL,))] = MODEL
    """Of the reverse steps: the model's own, a fixed one, what iddpm plan found, or the Jacobian's."""
    seed: int = 0
    """Item i depends on the seed and on i alone."""
    batch_size: int = 64
    """Items worked on at once."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Chain):
    """How samples are drawn."""

    sampler: Annotated[str, OneOf(SAMPLERS)] = "ancestral"
    """How the chain is walked. All but ancestral and dpm++sde draw no noise on the way (ddim with its --eta does)."""
    eta: float = 0.0
    """Noise of the ddim sampler: 0 is deterministic, 1 is as much as ancestral sampling's."""
