"""The training objectives: L_simple, L_vlb and the paper's L_hybrid (Section 3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.likelihood import mean_over_elements, term_bits
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.reverse import reverse_step
from iddpm.diffusion.schedule import StepCoefficients


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, each `[batch]`.

    total:  what is minimised.
    simple: mean squared error of the prediction (Eq. 14).
    vlb:    K times the sampled term of the bound, in bits/dim: over uniform t its mean estimates the whole bound
            (but for the prior, which no network changes). None where the objective has no use for it.
    """

    total: Tensor
    simple: Tensor
    vlb: Tensor | None


class Objective(ABC):
    """From a network's output to the loss of every image in a batch."""

    @abstractmethod
    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        """The losses of `output`, the network's at `x_t`, made of `x_0` and `noise` at steps `t` (int `[batch]`)."""


class Simple(Objective):
    """L_simple, Eq. 14. It cannot teach a variance."""

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        simple = _simple(diffusion, diffusion.schedule.at(t, x_0), output, x_0, x_t, noise)
        return Losses(simple, simple, None)


class VLB(Objective):
    """L_vlb, Eq. 4: the bound itself, in bits/dim."""

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        step = diffusion.schedule.at(t, x_0)
        vlb = _whole_bound(diffusion, step, output, x_0, x_t)
        with torch.no_grad():
            simple = _simple(diffusion, step, output, x_0, x_t, noise)
        return Losses(vlb, simple, vlb)


@dataclass(frozen=True)
class Hybrid(Objective):
    """L_hybrid = L_simple + vlb_weight * L_vlb (Eq. 16), where the bound teaches the variance only.

    vlb_weight: the paper's lambda = 0.001. It weighs the whole K-term bound in bits/dim, not one term of it, and not
    nats. The gradient of the bound is stopped at the mean.
    """

    vlb_weight: float = 1e-3

    def __call__(
        self, diffusion: Diffusion, output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, noise: Tensor
    ) -> Losses:
        step = diffusion.schedule.at(t, x_0)
        channels = x_0.shape[1]
        mean_stopped = torch.cat([output[:, :channels].detach(), output[:, channels:]], dim=1)
        simple = _simple(diffusion, step, output, x_0, x_t, noise)
        vlb = _whole_bound(diffusion, step, mean_stopped, x_0, x_t)
        return Losses(simple + self.vlb_weight * vlb, simple, vlb)


def _simple(
    diffusion: Diffusion, step: StepCoefficients, output: Tensor, x_0: Tensor, x_t: Tensor, noise: Tensor
) -> Tensor:
    part = diffusion.parameterization.split(output, x_0.shape[1]).mean
    target = diffusion.parameterization.prediction.target(step, x_0, x_t, noise)
    return mean_over_elements((target - part) ** 2)


def _whole_bound(diffusion: Diffusion, step: StepCoefficients, output: Tensor, x_0: Tensor, x_t: Tensor) -> Tensor:
    reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=False)
    return len(diffusion.schedule) * term_bits(step, reverse, x_0, x_t, diffusion.levels)
