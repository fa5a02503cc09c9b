"""The forward process q, which destroys data, and its posterior, which the reverse process is compared with."""

from __future__ import annotations

from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.schedule import StepCoefficients


def forward_marginal(step: StepCoefficients, x_0: Tensor) -> Gaussian:
    """Return q(x_t | x_0) (Eq. 8)."""
    return Gaussian(step.sqrt_alpha_bar * x_0, step.log_one_minus_alpha_bar)


def diffuse(step: StepCoefficients, x_0: Tensor, noise: Tensor) -> Tensor:
    """Return x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, a sample of q(x_t | x_0) (Eq. 9)."""
    return step.sqrt_alpha_bar * x_0 + step.sqrt_one_minus_alpha_bar * noise


def posterior(step: StepCoefficients, x_0: Tensor, x_t: Tensor) -> Gaussian:
    """Return q(x_{t-1} | x_t, x_0) (Eq. 12): mean Eq. 11, variance Eq. 10 (at the first step, the second one's)."""
    return Gaussian(step.posterior_x_0 * x_0 + step.posterior_x_t * x_t, step.posterior_log_variance)
