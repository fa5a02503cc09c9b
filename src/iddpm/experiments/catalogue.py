"""All experiments, by name."""

from __future__ import annotations

from iddpm.experiments.experiment import Experiment
from iddpm.experiments.paper.ablation import Ablation
from iddpm.experiments.paper.bound_by_step import BoundByStep
from iddpm.experiments.paper.coverage import Coverage
from iddpm.experiments.paper.gradient_noise import GradientNoise
from iddpm.experiments.paper.likelihood import Likelihood
from iddpm.experiments.paper.sampling_speed import Steps
from iddpm.experiments.paper.scaling import Scaling
from iddpm.experiments.paper.schedules import Schedules

EXPERIMENTS: dict[str, type[Experiment]] = {
    each.name: each for each in (Schedules, BoundByStep, Ablation, GradientNoise, Likelihood, Steps, Coverage, Scaling)
}
