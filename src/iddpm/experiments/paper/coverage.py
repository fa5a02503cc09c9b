"""Table 4: precision and recall of class-conditional diffusion beside a GAN with the same data and compute."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Finding, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import BLUE, GREEN, ORANGE, panels, tidy
from iddpm.experiments.measures import SHORT, Judged
from iddpm.experiments.rivals.gan_run import GanRun, JudgedGan
from iddpm.experiments.rivals.given import JudgedGiven, given_samples
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import above, higher, mean_and_error, mean_text, plus_minus

PUBLISHED = {
    "BigGAN-deep": (4.06, 0.79, 0.48),
    "Improved diffusion, small": (6.92, 0.77, 0.72),
    "Improved diffusion, large": (2.92, 0.82, 0.71),
}
"""FID, precision and recall on class-conditional ImageNet 64x64."""
GANS = {
    "tiny": (32, 64, 1e-3, 0.998),
    "small": (192, 128, 2e-4, 0.999),
    "paper": (384, 256, 2e-4, 0.9999),
}
"""Width, images in a batch, the generator's learning rate (the discriminator's is twice that) and the average's rate,

by scale.
"""
FEWEST = 1000
"""The fewest samples that precision and recall are measured on."""
GAN = "GAN"
DIFFUSION = "diffusion, L_hybrid"
SHOWN = ("frechet", "precision", "recall", "coverage")


class Coverage(Experiment):
    """The share of the data that a diffusion model covers, beside a GAN of the same quality.

    Both know the classes, if the data has any.
    """

    title = "Coverage"
    paper = "Table 4"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        config = scale.classes
        steps = None if config.diffusion.num_timesteps <= SHORT else scale.sampling_steps
        count = max(FEWEST, scale.samples)
        given = [given_samples(path, config.data, count) for path in scale.given]
        cells = []
        for seed in range(seeds):
            run = DiffusionRun(config.with_changes(training={"seed": seed}))
            measure = Judged("scores", count, steps, whole=True)
            cells.append(Cell({"model": DIFFUSION, "seed": seed}, run, (measure,)))
            gan = GanRun.with_budget(run, *GANS[scale.name])
            cells.append(Cell({"model": GAN, "seed": seed}, gan, (JudgedGan("scores", count),)))
        for samples in given:
            cells.append(Cell({"model": f"{samples.path} (given)", "seed": 0}, samples, (JudgedGiven("scores"),)))
        return cells

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        names = list(dict.fromkeys(str(cell.labels["model"]) for cell in measured))
        values = {
            name: {score: over_seeds(measured, "scores", score, "value", model=name) for score in SHOWN}
            for name in names
        }
        errors = {  # of scores of single runs
            name: {score: over_seeds(measured, "scores", score, "error", model=name)[0] for score in SHOWN}
            for name in names
        }
        rows = [[name, *(_text(values[name][score], errors[name][score]) for score in SHOWN)] for name in names]
        header = ["model", "FD", "precision", "recall", "coverage"]
        theirs = [[name, *(f"{value:g}" for value in published)] for name, published in PUBLISHED.items()]
        tables = [
            Table("Here (± standard errors: over seeds, or of drawing both sets anew)", header, rows),
            Table("The paper's, ImageNet 64x64", ["model", "FID", "precision", "recall"], theirs),
        ]
        counts = sorted({*over_seeds(measured, "scores", "count")})  # given samples may be fewer
        notes = [
            f"{' to '.join(f'{count:,}' for count in counts)} samples each. The data is {scale.classes.data.source};"
            " the paper's is ImageNet 64x64, and its GAN BigGAN-deep.",
            "The GAN: residual networks with spectral normalisation and a projection discriminator, hinge loss,"
            " averaged weights, as many FLOPs in training as diffusion (counted).",
        ]
        return Outcome(tables, [_recall(values, errors), _comparable(values)], _figure(values), notes)


def _recall(values: dict[str, dict[str, list[float]]], errors: dict[str, dict[str, float]]) -> Finding:
    claim = "recall: diffusion above the GAN"
    ours, theirs = values[DIFFUSION]["recall"], values[GAN]["recall"]
    if len(ours) > 1:
        return higher(claim, ours, theirs)
    return above(claim, (ours[0], errors[DIFFUSION]["recall"]), (theirs[0], errors[GAN]["recall"]))


def _comparable(values: dict[str, dict[str, list[float]]]) -> Finding:
    ours, theirs = (mean_and_error(values[name]["frechet"]) for name in (DIFFUSION, GAN))
    near = abs(math.log(ours[0] / theirs[0])) < math.log(2)
    statistic = f"diffusion {plus_minus(*ours)}, GAN {plus_minus(*theirs)}"
    return Finding("at comparable FD (within a factor of two)", "holds" if near else "does not hold", statistic)


def _text(values: list[float], own_error: float | None) -> str:
    mean, error = mean_and_error(values)
    return plus_minus(mean, error or own_error or 0.0)


def _figure(values: dict[str, dict[str, list[float]]]) -> Figure:
    figure, (axes,) = panels(1, 5.5, 4)
    for (name, scores), colour in zip(values.items(), (BLUE, ORANGE, GREEN, "#777777"), strict=False):
        axes.plot(scores["recall"], scores["precision"], ".", color=colour, alpha=0.5)
        (x, x_error), (y, y_error) = (mean_and_error(scores[score]) for score in ("recall", "precision"))
        label = f"{name}: FD {mean_text(scores['frechet'])}"
        axes.errorbar([x], [y], [y_error], [x_error], color=colour, marker="o", label=label)
    axes.set(xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    return figure
