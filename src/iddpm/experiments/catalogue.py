"""All experiments, by name."""

from __future__ import annotations

from iddpm.experiments.ablation import Ablation
from iddpm.experiments.bound_by_step import BoundByStep
from iddpm.experiments.coverage import Coverage
from iddpm.experiments.experiment import Experiment
from iddpm.experiments.gradient_noise import GradientNoise
from iddpm.experiments.likelihood import Likelihood
from iddpm.experiments.scaling import Scaling
from iddpm.experiments.schedules import Schedules
from iddpm.experiments.steps import Steps

EXPERIMENTS: dict[str, type[Experiment]] = {
    each.name: each for each in (Schedules, BoundByStep, Ablation, GradientNoise, Likelihood, Steps, Coverage, Scaling)
}
