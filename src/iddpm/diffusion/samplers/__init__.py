"""The ways to walk a chain from noise to data, a file each."""

from iddpm.diffusion.samplers.ancestral import Ancestral
from iddpm.diffusion.samplers.ddim import DDIM, ddim_encode
from iddpm.diffusion.samplers.dpm_solver import DPMSolver, DPMSolverSDE
from iddpm.diffusion.samplers.sampler import Here, Noise, Sampler, SamplerState, Step, sampler_named, walk
from iddpm.diffusion.samplers.unipc import UniPC

__all__ = [
    "DDIM",
    "Ancestral",
    "DPMSolver",
    "DPMSolverSDE",
    "Here",
    "Noise",
    "Sampler",
    "SamplerState",
    "Step",
    "UniPC",
    "ddim_encode",
    "sampler_named",
    "walk",
]
