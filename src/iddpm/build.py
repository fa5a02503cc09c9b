"""The objects that do the work, from a configuration and the spec of its dataset."""

from __future__ import annotations

from iddpm.conditions import Condition, conditions_of
from iddpm.config import Config, DatasetSpec
from iddpm.diffusion import (
    Diffusion,
    Discretized,
    NoiseSchedule,
    Objective,
    Parameterization,
    ScheduleRule,
    TimestepSampler,
)
from iddpm.names import OBJECTIVES, SCHEDULES, TIMESTEP_SAMPLERS
from iddpm.networks import UNet


def build_schedule(config: Config, spec: DatasetSpec) -> NoiseSchedule:
    """Return the chain that is trained on."""
    return schedule_rule(config).schedule(config.diffusion.num_timesteps, spec.levels)


def schedule_rule(config: Config) -> ScheduleRule:
    """Return the rule that gives the chain its betas."""
    rule: ScheduleRule = SCHEDULES[config.diffusion.schedule].from_config(config.diffusion)
    return rule


def build_diffusion(config: Config, spec: DatasetSpec) -> Diffusion:
    """Return the diffusion on the whole chain."""
    parameterization = Parameterization.named(config.diffusion.prediction, config.diffusion.variance)
    return Diffusion(build_schedule(config, spec), parameterization, Discretized(spec.levels))


def build_network(config: Config, spec: DatasetSpec, conditions: tuple[Condition, ...] | None = None) -> UNet:
    """Return the network with fresh weights; UserError for one that cannot work on the data.

    conditions: None takes the configuration's own.
    """
    network = config.network
    parameterization = Parameterization.named(config.diffusion.prediction, config.diffusion.variance)
    return UNet(
        spec.size,
        spec.channels,
        parameterization.output_channels(spec.channels),
        channels=network.channels,
        channel_multipliers=network.channel_multipliers,
        num_res_blocks=network.num_res_blocks,
        attention_resolutions=network.attention_resolutions,
        num_heads=network.num_heads,
        num_heads_up=network.num_heads_up,
        conditions=conditions_of(config, spec) if conditions is None else conditions,
        dropout=network.dropout,
        scale_shift_norm=network.scale_shift_norm,
        norm_groups=network.norm_groups,
        convolutional_resampling=network.convolutional_resampling,
        halve_depth=network.halve_depth,
        recompute_activations=network.recompute_activations,
        timestep_scale=1000 / config.diffusion.num_timesteps if config.diffusion.rescale_timesteps else 1.0,
    )


def build_objective(config: Config) -> Objective:
    """Return the objective."""
    objective: Objective = OBJECTIVES[config.objective.kind].from_config(config.objective)
    return objective


def build_timestep_sampler(config: Config) -> TimestepSampler:
    """Return the timestep sampler, without history."""
    sampler: TimestepSampler = TIMESTEP_SAMPLERS[config.objective.timesteps](config.diffusion.num_timesteps)
    return sampler
