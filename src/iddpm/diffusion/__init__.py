"""The mathematics of the paper: tensors in, tensors out; no files and no network classes.

Read in this order: `schedule` (how data is destroyed), `forward` (q), `parameterization` and `reverse` (p),
`objectives` and `timesteps` (training), `samplers`, `solvers` and `likelihood` (use), `respacing`, `planning` and
`variances` (few steps).
"""

from iddpm.diffusion.forward import diffuse, forward_marginal, posterior
from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.likelihood import Bound, BoundTerm, bits_per_dim, bound_terms, prior_bits, single_terms
from iddpm.diffusion.objectives import VLB, Hybrid, Losses, Objective, Simple
from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.randomness import SeededNoise
from iddpm.diffusion.respacing import kept_timesteps, strided
from iddpm.diffusion.reverse import ReverseStep, reverse_step
from iddpm.diffusion.samplers import SamplerState, ancestral, ddim, ddim_encode
from iddpm.diffusion.schedule import NoiseSchedule, cosine_offset, cosine_schedule, from_betas, linear_schedule
from iddpm.diffusion.solvers import dpm_solver, unipc
from iddpm.diffusion.timesteps import LossSecondMoment, LowDiscrepancy, TimestepSampler, Uniform

__all__ = [
    "VLB",
    "Bound",
    "BoundTerm",
    "Diffusion",
    "Gaussian",
    "Hybrid",
    "LossSecondMoment",
    "Losses",
    "LowDiscrepancy",
    "NoiseSchedule",
    "Objective",
    "Parameterization",
    "ReverseStep",
    "SamplerState",
    "SeededNoise",
    "Simple",
    "TimestepSampler",
    "Uniform",
    "ancestral",
    "bits_per_dim",
    "bound_terms",
    "cosine_offset",
    "cosine_schedule",
    "ddim",
    "ddim_encode",
    "diffuse",
    "dpm_solver",
    "forward_marginal",
    "from_betas",
    "kept_timesteps",
    "linear_schedule",
    "posterior",
    "prior_bits",
    "reverse_step",
    "single_terms",
    "strided",
    "unipc",
]
