"""UniPC of order 2 (Zhao et al. 2023): each evaluation also corrects the step that led to it."""

from __future__ import annotations

import math

from torch import Tensor

from iddpm.diffusion.samplers.half_log_snr import NoiseLevel, noise_levels
from iddpm.diffusion.samplers.sampler import Here, Noise, Sampler, Step
from iddpm.diffusion.schedule import NoiseSchedule

History = list[tuple[float, Tensor]]
"""lambda and the prediction of earlier steps, the last one first."""


class UniPC(Sampler):
    """UniPC of order 2 with B(h) = e^h - 1, deterministic."""

    def begin(self, schedule: NoiseSchedule) -> Step:
        levels = noise_levels(schedule)
        history: History = []
        begun: tuple[NoiseLevel, Tensor] | None = None  # where the last step began

        def step(here: Here, noise: Noise) -> Tensor:
            nonlocal history, begun
            x, x_0, level = here.x_t, here.reverse.x_0, levels[here.position]
            if here.position == 0:
                return x_0
            if begun is not None:
                x = _corrected(*begun, level, history, x_0)
            begun = level, x
            history = [(level.log_ratio, x_0), *history[:1]]
            return _predicted(level, x, levels[here.position - 1], history)

        return step


def _predicted(start: NoiseLevel, x: Tensor, end: NoiseLevel, history: History) -> Tensor:
    """Return UniP's step from `start` to `end`, along the line through the last two predictions."""
    h = end.log_ratio - start.log_ratio
    moved = -math.expm1(-h)
    target = history[0][1]
    if len(history) > 1:
        target = target + 0.5 * _slope(h, history)
    return (end.sigma / start.sigma) * x + end.alpha * moved * target


def _corrected(start: NoiseLevel, x: Tensor, end: NoiseLevel, history: History, reached: Tensor) -> Tensor:
    """Return UniC's: the same step once more, with the prediction that it `reached`."""
    h = end.log_ratio - start.log_ratio
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
    return (end.sigma / start.sigma) * x + end.alpha * moved * (latest + change)


def _slope(h: float, history: History) -> Tensor:
    """Return how the prediction changes over `h`, from the last two."""
    (latest_at, latest), (older_at, older) = history
    return (older - latest) * (h / (older_at - latest_at))
