"""The reverse process p(x_{t-1} | x_t) as a value, from a network's output and never from a network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.schedule import StepCoefficients


@dataclass(frozen=True)
class ReverseStep:
    """p(x_{t-1} | x_t), and the x_0 that its mean was made from. Both in the data's shape."""

    distribution: Gaussian
    x_0: Tensor


def reverse_step(
    step: StepCoefficients, parameterization: Parameterization, output: Tensor, x_t: Tensor, *, clip: bool
) -> ReverseStep:
    """p(x_{t-1} | x_t) from the network's `output` at `x_t` (Eq. 3 with the mean of Eq. 11 and variance of Eq. 15).

    `clip` bounds the predicted x_0 to [-1, 1]: the authors do for sampling and scoring, not in the training loss.
    """
    parts = parameterization.split(output, x_t.shape[1])
    x_0 = parameterization.prediction.x_0(step, parts.mean, x_t)
    if clip:
        x_0 = x_0.clamp(-1.0, 1.0)
    mean = parameterization.prediction.mean(step, parts.mean, x_0, x_t)
    return ReverseStep(Gaussian(mean, parameterization.variance.log_variance(step, parts.variance)), x_0)
