"""The abstract sampler, and the one loop that walks a chain from noise to data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip, ReverseStep, reverse_step
from iddpm.diffusion.schedule import NoiseSchedule, StepCoefficients
from iddpm.errors import UserError
from iddpm.names import SAMPLERS

Noise = Callable[[], Tensor]
"""Gives the next standard normal tensor of the batch's shape."""


@dataclass(frozen=True)
class SamplerState:
    """The state after a step: its position in the chain, the batch `x` it led to, and the prediction of x_0."""

    position: int
    x: Tensor
    x_0: Tensor


@dataclass(frozen=True)
class Here:
    """All that is known at a step before it is taken.

    position: in the chain, 0 for the last step to be taken. x_t `[batch, channels, *size]`. coefficients: the step's.
    reverse: p(x_{t-1} | x_t) and the prediction of x_0, from the network at x_t.
    """

    position: int
    x_t: Tensor
    coefficients: StepCoefficients
    reverse: ReverseStep


Step = Callable[[Here, Noise], Tensor]
"""Function from what is known at a step, and a source of noise, to x_{t-1}."""


class Sampler(ABC):
    """A way to walk the chain backwards, one evaluation of the network a step.

    To add one: write `begin`; make it a dataclass if it has options; give it a row in `names.SAMPLERS`, with the fact
    `uses_variance` if it draws from p(x_{t-1} | x_t).
    """

    @abstractmethod
    def begin(self, schedule: NoiseSchedule) -> Step:
        """Return the function that takes the steps of one walk along `schedule`; it may remember earlier steps."""


def sampler_named(name: str, **options: Any) -> Sampler:
    """Return the sampler of that name with the options that are not None; UserError for an option it does not have."""
    kind: Any = SAMPLERS[name]
    given = {option: value for option, value in options.items() if value is not None}
    names = {field.name for field in fields(kind)} if hasattr(kind, "__dataclass_fields__") else set()
    for option, value in given.items():
        if option not in names:
            raise UserError(f"the sampler {name} has no {option}", field=option, value=value, way="leave it out")
    sampler: Sampler = kind(**given)
    return sampler


@torch.no_grad()
def walk(
    diffusion: Diffusion,
    predict: Predict,
    sampler: Sampler,
    x_T: Tensor,
    noise: Noise,
    *,
    clip: Clip = True,
    between: Callable[[SamplerState], Tensor] | None = None,
) -> Iterator[SamplerState]:
    """Walk from `x_T` (standard normal) down to data: yield the state after every step; the last one has the samples.

    noise: called by samplers that draw, at every step but the last.
    clip: how predictions of x_0 are bounded, see `diffusion.reverse.bounded`.
    between: given the state after a step, returns the x to go on with (to hold parts of it fixed, say).
    """
    x, step = x_T, sampler.begin(diffusion.schedule)
    for position in reversed(range(len(diffusion.schedule))):
        coefficients, reverse = reverse_at(diffusion, predict, x, position, clip)
        state = SamplerState(position, step(Here(position, x, coefficients, reverse), noise), reverse.x_0)
        x = state.x if between is None else between(state)
        yield SamplerState(position, x, reverse.x_0)


def reverse_at(
    diffusion: Diffusion, predict: Predict, x: Tensor, position: int, clip: Clip
) -> tuple[StepCoefficients, ReverseStep]:
    """Return the coefficients of a step of the chain, and p(x_{t-1} | x_t) at `x` by the network."""
    schedule = diffusion.schedule
    step = schedule.at_position(position, x)
    output = predict(x, schedule.timestep(position, x.device))
    return step, reverse_step(step, diffusion.parameterization, output, x, clip=clip)
