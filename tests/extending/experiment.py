"""An experiment: whether twice the learning rate gives fewer bits/dim, on whatever the scale has."""

from __future__ import annotations

from matplotlib.figure import Figure

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import panels, tidy
from iddpm.experiments.measures import Bits
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import lower, mean_text
from iddpm.names import EXPERIMENTS

TIMES = (1, 2)


class LearningRate(Experiment):
    """The scale's own learning rate, and twice that."""

    title = "Learning rates"
    paper = "Section 4"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        rate = scale.base.training.learning_rate
        measure = Bits("bits", scale.items, scale.error)
        return [
            Cell(
                {"times": times, "seed": seed},
                DiffusionRun(varied(scale.base, learning_rate=times * rate, seed=seed)),
                (measure,),
            )
            for seed in range(seeds)
            for times in TIMES
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        once, twice = (over_seeds(measured, "bits", "bits", times=times) for times in TIMES)
        finding = lower("twice the learning rate is better", twice, once)
        table = Table("Bits/dim", ["once", "twice"], [[mean_text(once), mean_text(twice)]])
        return Outcome([table], [finding], _figure(once, twice))


def _figure(once: list[float], twice: list[float]) -> Figure:
    figure, (axes,) = panels(1, 4, 3)
    axes.plot(once, twice, "o")
    axes.set(xlabel="bits/dim", ylabel="bits/dim at twice the learning rate")
    tidy(axes)
    return figure


EXPERIMENTS.register("learning-rate", LearningRate, "twice the learning rate")
