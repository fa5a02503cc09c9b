"""The variational bound in bits/dim, term by term: L_T (prior) + sum of L_t (KL) + L_0 (decoder), Eqs. 4 to 7."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.decoder import Discretized
from iddpm.diffusion.forward import diffuse, forward_marginal, posterior
from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.reverse import Clip, ReverseStep, reverse_step
from iddpm.diffusion.schedule import StepCoefficients


def mean_over_elements(x: Tensor) -> Tensor:
    """Return the mean over everything but the batch, `[batch, ...]` -> `[batch]`."""
    return x.flatten(1).mean(dim=1)


def term_bits(step: StepCoefficients, reverse: ReverseStep, x_0: Tensor, x_t: Tensor, decoder: Discretized) -> Tensor:
    """Return one term of the bound in bits/dim `[batch]`; rows may be at different steps.

    It is the decoder's -log p(x_0 | x_1) at the first step (Eq. 5), and KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))
    at the others (Eq. 6).
    """
    first = step.is_first.flatten() > 0
    return torch.where(first, decoder_bits(reverse, x_0, decoder), kl_bits(step, reverse, x_0, x_t))


def kl_bits(step: StepCoefficients, reverse: ReverseStep, x_0: Tensor, x_t: Tensor) -> Tensor:
    """Return a term of the bound other than the first, in bits/dim `[batch]` (Eq. 6)."""
    return mean_over_elements(posterior(step, x_0, x_t).kl(reverse.distribution)) / math.log(2.0)


def decoder_bits(reverse: ReverseStep, x_0: Tensor, decoder: Discretized) -> Tensor:
    """Return the first term of the bound, in bits/dim `[batch]` (Eq. 5)."""
    return mean_over_elements(decoder.log_likelihood(reverse.distribution, x_0)) / -math.log(2.0)


def prior_bits(diffusion: Diffusion, x_0: Tensor) -> Tensor:
    """Return KL(q(x_T | x_0) || N(0, I)) in bits/dim `[batch]` (Eq. 7): what x_T still shows of x_0."""
    schedule = diffusion.schedule
    return end_bits(schedule.at_position(len(schedule) - 1, x_0), x_0)


def end_bits(step: StepCoefficients, x_0: Tensor) -> Tensor:
    """Return `prior_bits` for a chain that ends at `step`."""
    end = forward_marginal(step, x_0)
    standard = Gaussian(torch.zeros_like(x_0), torch.zeros_like(end.log_variance))
    return mean_over_elements(end.kl(standard)) / math.log(2.0)


@torch.no_grad()
def bound_terms(
    diffusion: Diffusion, predict: Predict, x_0: Tensor, noise: Callable[[], Tensor], *, clip: Clip = True
) -> Iterator[Tensor]:
    """Yield the terms of the bound on a batch `x_0` in [-1, 1], each in bits/dim `[batch]`, the last step's first.

    noise: called once a step for a standard normal tensor of the batch's shape.
    clip: whether the predicted x_0 is bounded to [-1, 1]; it is part of the model that is scored.
    """
    schedule = diffusion.schedule
    for position in reversed(range(len(schedule))):
        step = schedule.at_position(position, x_0)
        x_t = diffuse(step, x_0, noise())
        output = predict(x_t, schedule.timestep(position, x_0.device))
        reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=clip)
        yield kl_bits(step, reverse, x_0, x_t) if position else decoder_bits(reverse, x_0, diffusion.decoder)


@dataclass(frozen=True)
class Bound:
    """The whole bound on a batch, in bits/dim: `prior` `[batch]`, `terms` `[batch, K]` (0 is the decoder's)."""

    prior: Tensor
    terms: Tensor

    @property
    def total(self) -> Tensor:
        """prior + sum of terms, bits/dim `[batch]` (Eq. 4)."""
        return self.prior + self.terms.sum(dim=1)

    @classmethod
    def gathered(cls, prior: Tensor, terms: list[Tensor]) -> Bound:
        """Return the bound from `prior_bits` and all of `bound_terms`, in the order that they come in."""
        return cls(prior, torch.stack(terms[::-1], dim=1))


@torch.no_grad()
def single_terms(
    diffusion: Diffusion, predict: Predict, x_0: Tensor, positions: Tensor, noise: Tensor, *, clip: Clip = True
) -> Tensor:
    """Return one term of each item's bound, in bits/dim `[batch]`: the one at its own position (int64 `[batch]`)."""
    schedule = diffusion.schedule
    step = schedule.at(positions, x_0)
    x_t = diffuse(step, x_0, noise)
    timesteps = schedule.timesteps.to(x_0.device)[positions]
    reverse = reverse_step(step, diffusion.parameterization, predict(x_t, timesteps), x_t, clip=clip)
    return term_bits(step, reverse, x_0, x_t, diffusion.decoder)


def bits_per_dim(
    diffusion: Diffusion, predict: Predict, x_0: Tensor, noise: Callable[[], Tensor], *, clip: Clip = True
) -> Bound:
    """Return the whole bound of a batch; see `bound_terms` for the arguments."""
    return Bound.gathered(prior_bits(diffusion, x_0), list(bound_terms(diffusion, predict, x_0, noise, clip=clip)))
