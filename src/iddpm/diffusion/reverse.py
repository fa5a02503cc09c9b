"""The reverse process p(x_{t-1} | x_t) as a value, from a network's output and never from a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.schedule import StepCoefficients

Clip = bool | float
"""The way a predicted x_0 is kept in the range of data: see `bounded`."""


@dataclass(frozen=True)
class ReverseStep:
    """p(x_{t-1} | x_t), and the x_0 that its mean was made from. Both in the data's shape."""

    distribution: Gaussian
    x_0: Tensor


def reverse_step(
    step: StepCoefficients, parameterization: Parameterization, output: Tensor, x_t: Tensor, *, clip: Clip
) -> ReverseStep:
    """Return p(x_{t-1} | x_t) from the network's `output` at `x_t` (Eq. 3: mean Eq. 11, variance Eq. 15).

    `clip` bounds the predicted x_0, see `bounded`: the authors do for sampling and scoring, not in the training loss.
    """
    parts = parameterization.split(output, x_t.shape[1])
    x_0 = bounded(parameterization.prediction.x_0(step, parts.mean, x_t), clip)
    mean = parameterization.prediction.mean(step, parts.mean, x_0, x_t)
    return ReverseStep(Gaussian(mean, parameterization.variance.log_variance(step, parts.variance)), x_0)


def bounded(x_0: Tensor, clip: Clip) -> Tensor:
    """Bound predictions `[batch, channels, *size]` to [-1, 1] for True; leave them for False.

    A number between 0 and 1 is dynamic thresholding (Saharia et al. 2022, for guided sampling): each item is cut at
    that quantile of its own absolute values, if that is more than 1, and scaled back to [-1, 1].
    """
    if clip is False:
        return x_0
    if clip is True:
        return x_0.clamp(-1.0, 1.0)
    limit = torch.quantile(x_0.flatten(1).abs(), clip, dim=1).clamp(min=1.0).reshape(-1, *[1] * (x_0.ndim - 1))
    return x_0.clamp(-limit, limit) / limit
