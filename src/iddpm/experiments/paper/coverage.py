"""Table 4: precision and recall of class-conditional diffusion beside a GAN with the same data and compute."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import (
    JSON,
    Cell,
    Experiment,
    Finding,
    Measured,
    Outcome,
    Table,
)
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import SHORT, Judged
from iddpm.experiments.names import ScaleName
from iddpm.experiments.rivals.gan_run import GanRun, JudgedGan
from iddpm.experiments.rivals.given import JudgedGiven, given_samples
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import compared, higher, mean_and_error, plus_minus

PUBLISHED = {
    "BigGAN-deep": (4.06, 0.79, 0.48),
    "Improved diffusion, small": (6.92, 0.77, 0.72),
    "Improved diffusion, large": (2.92, 0.82, 0.71),
}
"""FID, precision and recall on class-conditional ImageNet 64x64."""
GANS: dict[ScaleName, tuple[int, int, float, float]] = {
    "tiny": (32, 64, 1e-3, 0.998),
    "small": (192, 128, 2e-4, 0.999),
    "paper": (384, 256, 2e-4, 0.9999),
}
"""Width, images in a batch, the generator's learning rate (the discriminator's is twice that), and its average's."""
FEWEST = 1000
"""Samples that precision and recall are told from."""
GAN = "GAN"
DIFFUSION = "diffusion, L_hybrid"


class Coverage(Experiment):
    """Does a diffusion model cover more of the data than a GAN of the same quality?

    Both know the classes, where the data has any.
    """

    name = "coverage"
    title = "Coverage"
    paper = "Table 4"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        config = scale.classes
        length = config.diffusion.num_timesteps
        steps = None if length <= SHORT else scale.sampling_steps
        count = max(FEWEST, scale.samples)
        cells = []
        for seed in range(seeds):
            training = config.training.model_copy(update={"seed": seed})
            run = DiffusionRun(config.model_copy(update={"training": training}))
            measure = Judged("scores", count, steps, whole=True)
            cells.append(Cell({"model": DIFFUSION, "seed": seed}, run, (measure,)))
            gan = GanRun.with_budget(run, *GANS[scale.name])
            cells.append(Cell({"model": GAN, "seed": seed}, gan, (JudgedGan("scores", count),)))
        given = [given_samples(path, config.data, count) for path in scale.given]
        for each in given:
            cells.append(Cell({"model": f"{each.path} (given)", "seed": 0}, each, (JudgedGiven("scores"),)))
        return cells

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        names = list(dict.fromkeys(str(each.labels["model"]) for each in measured))
        found = {name: [each.found["scores"] for each in measured if each.labels["model"] == name] for name in names}
        shown = ("frechet", "precision", "recall", "coverage")
        values = {
            name: {score: [float(each[score]["value"]) for each in results] for score in shown}
            for name, results in found.items()
        }
        findings = [_recall(found, values), _comparable(values)]
        rows = [[name, *(_cell(found[name], score) for score in shown)] for name in names]
        header = ["model", "FD", "precision", "recall", "coverage"]
        theirs = [[name, *(f"{value:g}" for value in published)] for name, published in PUBLISHED.items()]
        tables = [
            Table("Here (± standard errors: over seeds, or of drawing both sets anew)", header, rows),
            Table("The paper's, ImageNet 64x64", ["model", "FID", "precision", "recall"], theirs),
        ]
        notes = [
            f"{count_told(measured)} samples each. The data is {scale.classes.data.source}; the paper's is ImageNet"
            " 64x64, and its GAN BigGAN-deep.",
            "The GAN: residual networks with spectral normalisation and a projection discriminator, hinge loss,"
            " averaged weights, as many FLOPs in training as diffusion (counted).",
        ]
        return Outcome(tables, findings, _figure(values), notes)


def count_told(measured: list[Measured]) -> str:
    """How many samples were judged: of given ones, there may be fewer."""
    counts = sorted({int(each.found["scores"]["count"]) for each in measured})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _recall(found: dict[str, list[JSON]], values: dict[str, dict[str, list[float]]]) -> Finding:
    claim = "recall: diffusion above the GAN"
    ours, theirs = values[DIFFUSION]["recall"], values[GAN]["recall"]
    if len(ours) > 1:
        return higher(claim, list(zip(ours, theirs, strict=True)))
    first, second = (found[name][0]["recall"] for name in (DIFFUSION, GAN))
    return compared(claim, (first["value"], first["error"]), (second["value"], second["error"]))


def _comparable(values: dict[str, dict[str, list[float]]]) -> Finding:
    ours, theirs = (mean_and_error(values[name]["frechet"]) for name in (DIFFUSION, GAN))
    near = abs(math.log(ours[0] / theirs[0])) < math.log(2)
    statistic = f"diffusion {plus_minus(*ours)}, GAN {plus_minus(*theirs)}"
    return Finding("at comparable FD (within a factor of two)", "holds" if near else "does not hold", statistic)


def _cell(found: list[JSON], score: str) -> str:
    mean, error = mean_and_error([float(each[score]["value"]) for each in found])
    return plus_minus(mean, error or float(found[0][score]["error"] or 0))


def _figure(values: dict[str, dict[str, list[float]]]) -> Figure:
    figure = Figure(figsize=(5.5, 4), layout="constrained", dpi=110)
    axes = figure.subplots()
    for (name, found), colour in zip(values.items(), ("#2a6fbb", "#d9822b", "#8ab17d", "#777777"), strict=False):
        axes.plot(found["recall"], found["precision"], ".", color=colour, alpha=0.5)
        (x, x_error), (y, y_error) = (mean_and_error(found[score]) for score in ("recall", "precision"))
        label = f"{name}: FD {plus_minus(*mean_and_error(found['frechet']))}"
        axes.errorbar([x], [y], [y_error], [x_error], color=colour, marker="o", label=label)
    axes.set(xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    return figure
