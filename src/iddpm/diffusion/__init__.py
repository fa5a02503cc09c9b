"""The mathematics of the paper: tensors in, tensors out; no files and no network classes.

Read in this order: `schedule` and `schedules/` (how data is destroyed), `forward` (q), `parameterization` and `reverse`
(p), `decoder` (its end), `objectives/` and `timesteps` (training), `samplers/` and `likelihood` (use), `respacing`,
`planning` and `readings/` (few steps).
"""

from iddpm.diffusion.decoder import Discretized
from iddpm.diffusion.forward import diffuse, forward_marginal, posterior
from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.likelihood import Bound, bits_per_dim, bound_terms, prior_bits, single_terms
from iddpm.diffusion.objectives import VLB, Hybrid, Losses, Objective, Simple
from iddpm.diffusion.parameterization import Parameterization
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.randomness import SeededNoise
from iddpm.diffusion.readings import Reading
from iddpm.diffusion.respacing import kept_timesteps, strided
from iddpm.diffusion.reverse import ReverseStep, reverse_step
from iddpm.diffusion.samplers import (
    DDIM,
    Ancestral,
    DPMSolver,
    DPMSolverSDE,
    Sampler,
    SamplerState,
    UniPC,
    ddim_encode,
    walk,
)
from iddpm.diffusion.schedule import NoiseSchedule, from_betas
from iddpm.diffusion.schedules import ScheduleRule, cosine_offset, cosine_schedule, linear_schedule
from iddpm.diffusion.timesteps import LossSecondMoment, LowDiscrepancy, TimestepSampler, Uniform

__all__ = [
    "DDIM",
    "VLB",
    "Ancestral",
    "Bound",
    "DPMSolver",
    "DPMSolverSDE",
    "Diffusion",
    "Discretized",
    "Gaussian",
    "Hybrid",
    "LossSecondMoment",
    "Losses",
    "LowDiscrepancy",
    "NoiseSchedule",
    "Objective",
    "Parameterization",
    "Reading",
    "ReverseStep",
    "Sampler",
    "SamplerState",
    "ScheduleRule",
    "SeededNoise",
    "Simple",
    "TimestepSampler",
    "UniPC",
    "Uniform",
    "bits_per_dim",
    "bound_terms",
    "cosine_offset",
    "cosine_schedule",
    "ddim_encode",
    "diffuse",
    "forward_marginal",
    "from_betas",
    "kept_timesteps",
    "linear_schedule",
    "posterior",
    "prior_bits",
    "reverse_step",
    "single_terms",
    "strided",
    "walk",
]
