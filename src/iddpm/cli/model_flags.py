"""The flags of commands that run a model: its device, its weights, and the way its chain is walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from iddpm.names import MODEL, PLANNED, READINGS, SAMPLERS, STRIDES, Compile, Precision
from iddpm.registry import OneOf


@dataclass(frozen=True, kw_only=True)
class PrintsJSON:
    """The form of results."""

    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True, kw_only=True)
class Device(PrintsJSON):
    """The device of a command."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""


@dataclass(frozen=True, kw_only=True)
class RunsOn(Device):
    """The way a network runs."""

    precision: Precision = "auto"
    """Precision of the network: float32 rounds nothing, auto is tf32 on a GPU and float32 elsewhere."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU, for work that is long enough to pay for it."""


@dataclass(frozen=True, kw_only=True)
class Weights(RunsOn):
    """The weights of a model."""

    weights: str | None = None
    """raw, ema, or the rate of an average. None takes the first average."""
    preset: str | None = None
    """The preset that the model is, for released files that do not say so."""


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """The way predictions of x_0 are bounded."""

    clip: bool = True
    """Bound predictions of x_0 to the range of the data, as the authors do."""
    threshold: float | None = None
    """Bound them by dynamic thresholding at this quantile (0.995 is usual). None cuts at the range of the data."""


@dataclass(frozen=True, kw_only=True)
class Chain(Clipping, Weights):
    """The steps of the chain that a command takes, and their variance."""

    steps: str | None = None
    """Steps of the chain: "50", sections "10,15,20", "ddim50" or "quadratic50". None takes all."""
    stride: Annotated[str, OneOf(STRIDES, also=(PLANNED,))] | None = None
    """Kind of steps. None takes evenly spaced ones; planned ones (see iddpm plan) are best for likelihoods."""
    variance: Annotated[str, OneOf(READINGS, also=(MODEL,))] = MODEL
    """Variance of the reverse steps: the model's own, a fixed one, what iddpm plan found, or the Jacobian's."""
    seed: int = 0
    """Seed of all noise: item i depends on it and on i alone."""
    batch_size: int = 64
    """Items worked on at once."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Chain):
    """The way samples are drawn."""

    sampler: Annotated[str, OneOf(SAMPLERS)] = "ancestral"
    """Way to walk the chain. All but ancestral and dpm++sde draw no noise on the way (ddim with its --eta does)."""
    eta: float = 0.0
    """Noise of the ddim sampler: 0 is deterministic, 1 is as much as ancestral sampling's."""
