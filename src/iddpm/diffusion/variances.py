"""Other variances for a trained network than those it was made with; most of them from its errors on held-out data.

Given x_t, the best variance of a jump from t to s is beta-tilde + c^2 E[(x_0 - predicted x_0)^2 | x_t], where c is the
weight of x_0 in the posterior's mean and both are the jump's own (Bao et al. 2022). How large the squared error is
expected to be can be known of t alone ("analytic"), of t and what the network's own variance says ("calibrated"), or of
how the prediction answers a small change of x_t ("jacobian").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iddpm.diffusion.parameterization import VARIANCES, Learned, LearnedRange, Parameterization, Variance
from iddpm.diffusion.process import Diffusion, Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.reverse import Clip, bounded
from iddpm.diffusion.schedule import NoiseSchedule, StepCoefficients

RANGES: dict[type[Variance], tuple[float, float, int]] = {LearnedRange: (-1.0, 2.0, 128), Learned: (-24.0, 4.0, 512)}
"""What networks say of their variances lies in here, or nearly all of it; and the number of bins."""
PROBE = 0.02
"""How far the Jacobian's probe goes from x_t, in standard deviations of its noise."""
SMALLEST = 0.1
"""The least that a Jacobian's variance may be at the data's end, in half grey levels squared."""


def said_of(variance: Variance, part: Tensor | None) -> Tensor | None:
    """The network's word on the variance, whatever the chain: the fraction of Eq. 15, or the log variance itself."""
    if isinstance(variance, LearnedRange) and part is not None:
        return (part + 1.0) / 2.0
    return part if isinstance(variance, Learned) else None


def bin_count(variance: Variance) -> int:
    """How many bins are kept of what a network with this variance says: one where it says nothing."""
    return RANGES[type(variance)][2] if variance.is_learned else 1


def bin_of(said: Tensor, variance: Variance) -> Tensor:
    """Which bin what the network said falls into; the outermost ones take what lies beyond."""
    low, high, bins = RANGES.get(type(variance), (0.0, 1.0, 1))
    return ((said - low) * (bins / (high - low))).long().clamp(0, bins - 1)


class ExpectedError(Variance):
    """The part is the expected squared error of x_0: sigma^2 = beta-tilde + c^2 part, for whichever jump.

    At the chain's first step beta-tilde is 0 and c is 1: the part is the decoder's variance.
    """

    is_learned = True

    def log_variance(self, step: StepCoefficients, part: Tensor | None) -> Tensor:
        assert part is not None
        own = torch.exp(step.posterior_log_variance) * (1.0 - step.is_first)
        return torch.log(own + step.posterior_x_0**2 * part)


class VarianceChoice(ABC):
    """What to take instead of the variance that a network was made with."""

    name: str
    evaluations = 1
    """Of the network, a step."""

    @abstractmethod
    def applied(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        """The same chain and network, read with this variance. `diffusion` is on the steps that will be taken."""


@dataclass(frozen=True)
class FixedVariance(VarianceChoice):
    """beta-tilde ("fixed_small") or beta ("fixed_large") of the chain in use, whatever the network has learned."""

    name: str

    def applied(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        parameterization = replace(diffusion.parameterization, variance=VARIANCES[self.name]())

        def mean_part(x_t: Tensor, timesteps: Tensor) -> Tensor:
            return predict(x_t, timesteps)[:, : x_t.shape[1]]

        return replace(diffusion, parameterization=parameterization), mean_part


@dataclass(frozen=True, eq=False)
class ErrorTable(VarianceChoice):
    """Squared errors of x_0 that were found on data: "analytic" (one bin) or "calibrated" (by what the network says).

    timesteps: int64 `[K]`, increasing, the original ones that were looked at; between them errors are interpolated.
    errors:    `[K, bins]`, mean squared errors of x_0. decoder: `[K, bins]`, the best variances of the decoder there.
    """

    name: str
    timesteps: Tensor
    errors: Tensor
    decoder: Tensor

    def applied(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        own = diffusion.parameterization
        bins = self.errors.shape[1]
        table = self.of_chain(diffusion.schedule)
        on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

        def with_errors(x_t: Tensor, timesteps: Tensor) -> Tensor:
            if x_t.device not in on_device:
                on_device[x_t.device] = (diffusion.schedule.timesteps.to(x_t.device), table.to(x_t.device))
            known, values = on_device[x_t.device]
            parts = own.split(predict(x_t, timesteps), x_t.shape[1])
            row = torch.searchsorted(known, timesteps).reshape(-1, *[1] * (x_t.ndim - 1))
            said = said_of(own.variance, parts.variance)
            column = 0 if said is None or bins == 1 else bin_of(said, own.variance)
            errors = torch.take(values, row * bins + column).to(x_t.dtype)
            return torch.cat([parts.mean, errors.expand_as(x_t)], dim=1)

        return replace(diffusion, parameterization=Parameterization(own.prediction, ExpectedError())), with_errors

    def of_chain(self, schedule: NoiseSchedule) -> Tensor:
        """`[steps, bins]`: the errors at the chain's steps, and at its first one the decoder's variances."""
        known, wanted = self.timesteps.double(), schedule.timesteps.double()
        right = torch.searchsorted(known, wanted).clamp(1, max(1, len(known) - 1)).clamp(max=len(known) - 1)
        left = (right - 1).clamp(min=0)
        share = ((wanted - known[left]) / (known[right] - known[left]).clamp(min=1.0)).clamp(0.0, 1.0)[:, None]
        found = torch.lerp(self.errors.double().log()[left], self.errors.double().log()[right], share).exp()
        decoder = self.decoder.double().log()
        found[0] = torch.lerp(decoder[left[0]], decoder[right[0]], share[0]).exp()
        return found.float()

    def state(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {"timesteps": self.timesteps, "errors": self.errors, "decoder": self.decoder}

    @classmethod
    def of_state(cls, name: str, state: Mapping[str, Tensor]) -> ErrorTable:
        """What `state` gave."""
        return cls(name, state["timesteps"], state["errors"], state["decoder"])


@dataclass(frozen=True)
class Jacobian(VarianceChoice):
    """The diagonal of (1 - alpha_bar) / sqrt(alpha_bar) dx_0/dx_t, which is the variance of x_0 given x_t.

    One more evaluation a step: x_t is moved a little in a random direction of signs, and each element's answer to its
    own movement is taken (Hutchinson's estimate of a diagonal, by a finite difference). The signs depend on the seed
    and the timestep.
    """

    seed: int = 0
    name: str = "jacobian"
    evaluations = 2

    def applied(self, diffusion: Diffusion, predict: Predict, *, clip: Clip) -> tuple[Diffusion, Predict]:
        own = diffusion.parameterization
        schedule = diffusion.schedule
        least = (SMALLEST / (diffusion.levels - 1)) ** 2

        def signs_of(timestep: int, shape: torch.Size) -> Tensor:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, timestep))
            return torch.randint(0, 2, shape, generator=generator) * 2 - 1

        def with_errors(x_t: Tensor, timesteps: Tensor) -> Tensor:
            positions = torch.searchsorted(schedule.timesteps.to(x_t.device), timesteps)
            step = schedule.at(positions, x_t)

            def x_0(x: Tensor) -> tuple[Tensor, Tensor]:
                mean = own.split(predict(x, timesteps), x.shape[1]).mean
                return mean, bounded(own.prediction.x_0(step, mean, x), clip)

            signs = torch.stack([signs_of(each, x_t.shape[1:]) for each in timesteps.tolist()]).to(x_t)
            distance = PROBE * step.sqrt_one_minus_alpha_bar
            mean, here = x_0(x_t)
            _, there = x_0(x_t + distance * signs)
            slope = signs * (there - here) / distance
            variance = slope * (1 - step.alpha_bar) / step.sqrt_alpha_bar
            return torch.cat([mean, variance.clamp(min=least)], dim=1)

        return replace(diffusion, parameterization=Parameterization(own.prediction, ExpectedError())), with_errors
