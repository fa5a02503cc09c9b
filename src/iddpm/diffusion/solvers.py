"""Solvers that use earlier predictions too: DPM-Solver++ (2M), its stochastic variant, and UniPC.

All treat the chain as a differential equation in lambda = log(alpha / sigma), half the logarithm of the signal-to-noise
ratio, with alpha^2 = alpha_bar and sigma^2 = 1 - alpha_bar. They are of second order where the network is smooth, take
one evaluation a step, and never look at a variance. Each is a generator that yields a `SamplerState` a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.samplers import SamplerState, reverse_at
from iddpm.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class Place:
    """How noisy a step's x_t is: alpha, sigma, and lambda = log(alpha / sigma)."""

    alpha: float
    sigma: float
    log_ratio: float


def places(schedule: NoiseSchedule) -> list[Place]:
    """Of every step of the chain."""
    found = []
    for alpha_bar in schedule.alpha_bar.tolist():
        alpha, sigma = math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar)
        found.append(Place(alpha, sigma, math.log(alpha) - math.log(sigma)))
    return found


@torch.no_grad()
def dpm_solver(
    diffusion: Diffusion,
    predict: Predict,
    x_T: Tensor,
    noise: Callable[[], Tensor] | None = None,
    *,
    clip: Clip = True,
) -> Iterator[SamplerState]:
    """DPM-Solver++ (2M) (Lu et al. 2022): deterministic without `noise`, and its SDE variant with it.

    noise: called at every step but the last for a standard normal tensor of x_T's shape.
    """
    where = places(diffusion.schedule)
    x = x_T
    before: tuple[float, Tensor] | None = None  # lambda and the prediction of the step before
    for position in reversed(range(len(where))):
        x_0 = reverse_at(diffusion, predict, x, position, clip)[1].x_0
        if position == 0:
            x = x_0  # where sigma is 0 the first-order step gives the prediction itself
        else:
            here, there = where[position], where[position - 1]
            h = there.log_ratio - here.log_ratio
            towards = x_0
            if before is not None:
                towards = x_0 + (x_0 - before[1]) * (h / (2.0 * (here.log_ratio - before[0])))
            kept = there.sigma / here.sigma
            if noise is None:
                x = kept * x - there.alpha * math.expm1(-h) * towards
            else:
                new = -math.expm1(-2.0 * h)
                x = kept * math.exp(-h) * x + there.alpha * new * towards + there.sigma * math.sqrt(new) * noise()
            before = here.log_ratio, x_0
        yield SamplerState(position, x, x_0)


@torch.no_grad()
def unipc(diffusion: Diffusion, predict: Predict, x_T: Tensor, *, clip: Clip = True) -> Iterator[SamplerState]:
    """UniPC of order 2 with B(h) = e^h - 1 (Zhao et al. 2023): each evaluation corrects the step that led to it too."""
    where = places(diffusion.schedule)
    x = x_T
    history: list[tuple[float, Tensor]] = []  # lambda and prediction of earlier steps, the last one first
    came_from: tuple[Place, Tensor] | None = None  # where the last step began
    for position in reversed(range(len(where))):
        here = where[position]
        x_0 = reverse_at(diffusion, predict, x, position, clip)[1].x_0
        if position == 0:
            x = x_0
        else:
            if came_from is not None:
                x = _corrected(*came_from, here, history, x_0)
            came_from = here, x
            history = [(here.log_ratio, x_0), *history[:1]]
            x = _predicted(here, x, where[position - 1], history)
        yield SamplerState(position, x, x_0)


def _predicted(here: Place, x: Tensor, there: Place, history: list[tuple[float, Tensor]]) -> Tensor:
    """UniP: the step from `here` to `there`, along the line through the last two predictions."""
    h = there.log_ratio - here.log_ratio
    moved = -math.expm1(-h)
    towards = history[0][1]
    if len(history) > 1:
        towards = towards + 0.5 * _slope(h, history)
    return (there.sigma / here.sigma) * x + there.alpha * moved * towards


def _corrected(here: Place, x: Tensor, there: Place, history: list[tuple[float, Tensor]], reached: Tensor) -> Tensor:
    """UniC: the same step once more, knowing the prediction that it `reached`."""
    h = there.log_ratio - here.log_ratio
    moved = -math.expm1(-h)
    latest = history[0][1]
    if len(history) == 1:
        change = 0.5 * (reached - latest)
    else:
        # Two conditions on two weights: the step is exact where the prediction is a parabola in lambda.
        first = (moved / h - 1.0) / -moved
        second = 2.0 * ((moved / h - 1.0) / -h - 0.5) / -moved
        ratio = (history[1][0] - history[0][0]) / h
        older = (first - second) / (1.0 - ratio)
        change = older * _slope(h, history) + (first - older) * (reached - latest)
    return (there.sigma / here.sigma) * x + there.alpha * moved * (latest + change)


def _slope(h: float, history: list[tuple[float, Tensor]]) -> Tensor:
    """How the prediction changes over `h`, from the last two."""
    (latest_at, latest), (older_at, older) = history
    return (older - latest) * (h / (older_at - latest_at))
