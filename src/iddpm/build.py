"""From a configuration and what its dataset is to the objects that do the work."""

from __future__ import annotations

from iddpm.config import Config, DatasetSpec
from iddpm.diffusion import (
    VLB,
    Diffusion,
    Hybrid,
    LossSecondMoment,
    LowDiscrepancy,
    NoiseSchedule,
    Objective,
    Parameterization,
    Simple,
    TimestepSampler,
    Uniform,
    cosine_offset,
    cosine_schedule,
    linear_schedule,
)
from iddpm.errors import UserError
from iddpm.networks import UNet, Upsampler

TIMESTEP_SAMPLERS: dict[str, type[TimestepSampler]] = {
    "uniform": Uniform,
    "low_discrepancy": LowDiscrepancy,
    "importance": LossSecondMoment,
}


def build_schedule(config: Config, spec: DatasetSpec) -> NoiseSchedule:
    """The chain that is trained on; the cosine's offset follows the data's grey levels unless it is given."""
    chain = config.diffusion
    if chain.schedule == "linear":
        return linear_schedule(chain.num_timesteps)
    offset = chain.cosine_offset
    return cosine_schedule(
        chain.num_timesteps, cosine_offset(spec.levels, chain.num_timesteps) if offset is None else offset
    )


def build_diffusion(config: Config, spec: DatasetSpec) -> Diffusion:
    """The diffusion on the whole chain."""
    parameterization = Parameterization.named(config.diffusion.prediction, config.diffusion.variance)
    return Diffusion(build_schedule(config, spec), parameterization, spec.levels)


def build_network(config: Config, spec: DatasetSpec) -> UNet:
    """The network with fresh weights; UserError for one that cannot work on the data."""
    network = config.network
    if network.classes and not spec.class_names:
        raise UserError(f"network.classes: {config.data.source} has no labels; use --network.no-classes")
    if network.low_resolution is not None and any(side % network.low_resolution for side in spec.size):
        raise UserError(f"network.low_resolution: {network.low_resolution} does not divide the data's size {spec.size}")
    kind = UNet if network.low_resolution is None else Upsampler
    parameterization = Parameterization.named(config.diffusion.prediction, config.diffusion.variance)
    return kind(
        spec.size,
        spec.channels,
        parameterization.output_channels(spec.channels),
        channels=network.channels,
        channel_multipliers=network.channel_multipliers,
        num_res_blocks=network.num_res_blocks,
        attention_resolutions=network.attention_resolutions,
        num_heads=network.num_heads,
        num_heads_up=network.num_heads_up,
        num_classes=len(spec.class_names) if network.classes else None,
        dropout=network.dropout,
        scale_shift_norm=network.scale_shift_norm,
        norm_groups=network.norm_groups,
        convolutional_resampling=network.convolutional_resampling,
        halve_depth=network.halve_depth,
        recompute_activations=network.recompute_activations,
        timestep_scale=1000 / config.diffusion.num_timesteps if config.diffusion.rescale_timesteps else 1.0,
    )


def build_objective(config: Config) -> Objective:
    """The objective."""
    kind = config.objective.kind
    return Hybrid(config.objective.vlb_weight) if kind == "hybrid" else VLB() if kind == "vlb" else Simple()


def build_timestep_sampler(config: Config) -> TimestepSampler:
    """The timestep sampler, without history."""
    return TIMESTEP_SAMPLERS[config.objective.timesteps](config.diffusion.num_timesteps)
