"""Table 4: precision and recall of class-conditional diffusion beside a GAN with the same data and compute."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator as Steps
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import ArrayDataset, open_source, quantize
from iddpm.data import scale as scaled
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import UserError
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import (
    JSON,
    Cell,
    Experiment,
    Finding,
    Measure,
    Measured,
    Outcome,
    Progress,
    Subject,
    Table,
)
from iddpm.experiments.figures import tidy
from iddpm.experiments.gan import LATENT, Discriminator, Generator, discriminator_loss, generator_loss
from iddpm.experiments.measures import Judged, judged
from iddpm.experiments.names import ScaleName
from iddpm.experiments.opened import opened, spec_of
from iddpm.experiments.rivals import Learner, average, flops, module_state, steps_done, train
from iddpm.experiments.scales import Scale
from iddpm.experiments.verdicts import compared, higher, mean_and_error, plus_minus
from iddpm.judging import images_of_data, in_levels
from iddpm.training.processes import choose_device

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
CRITIC_STEPS = 2
"""Of the discriminator for each of the generator."""
GAN = "GAN"
DIFFUSION = "diffusion, L_hybrid"


class Coverage(Experiment):
    """Does a diffusion model cover more of the data than a GAN of the same quality?"""

    name = "coverage"
    title = "Coverage"
    paper = "Table 4"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        config = scale.classes
        length = config.diffusion.num_timesteps
        steps = None if scale.name == "tiny" and length <= 250 else scale.sampling_steps
        cells = []
        for seed in range(seeds):
            training = config.training.model_copy(update={"seed": seed})
            run = DiffusionRun(config.model_copy(update={"training": training}))
            measure = Judged("scores", 2 * scale.samples, steps, whole=True)
            cells.append(Cell({"model": DIFFUSION, "seed": seed}, run, (measure,)))
            gan = GanRun.with_budget(run, *GANS[scale.name])
            cells.append(Cell({"model": GAN, "seed": seed}, gan, (JudgedGan("scores", scale.samples * 2),)))
        given = [GivenSamples(path, config.data) for path in scale.given]
        return cells + [Cell({"model": each.path, "seed": 0}, each, (JudgedGiven("scores"),)) for each in given]

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
            f"The data is {scale.classes.data.source}; the paper's is ImageNet 64x64, and its GAN BigGAN-deep.",
            "The GAN: residual networks with spectral normalisation and a projection discriminator, hinge loss,"
            " averaged weights, as many FLOPs in training as diffusion (counted).",
        ]
        return Outcome(tables, findings, _figure(values), notes)


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


@dataclass(frozen=True)
class GanRun(Subject):
    """A GAN in training."""

    data: DataConfig
    width: int
    steps: int
    batch_size: int
    seed: int
    generator_rate: float
    average_rate: float

    @classmethod
    def with_budget(
        cls, run: DiffusionRun, width: int, batch_size: int, generator_rate: float, average_rate: float
    ) -> GanRun:
        """As many steps as take the FLOPs of `run`'s training, with its data and seed."""
        data, seed = run.config.data, run.config.training.seed
        steps = run.flops() // (batch_size * _flops_of(spec_of(data), width))
        return cls(data, width, max(1, steps), batch_size, seed, generator_rate, average_rate)

    def identity(self) -> JSON:
        return {**vars(self), "data": self.data.model_dump(mode="json"), "version": 1}

    def make(self, folder: Path) -> Steps[Progress, None, None]:
        if not self.is_made(folder):
            yield from train(_Learner(self), folder, self.steps, 200)

    def is_made(self, folder: Path) -> bool:
        return steps_done(folder) >= self.steps

    def command(self, folder: Path) -> str | None:
        return None

    def flops(self) -> int:
        return _flops_of(spec_of(self.data), self.width) * self.batch_size * self.steps


@cache
def _flops_of(spec: DatasetSpec, width: int) -> int:
    """Of one step, for an image of its batch."""
    with torch.device("meta"):
        generator, discriminator = Generator(spec, width), Discriminator(spec, width)
        images, labels, latents = torch.zeros(2, *spec.shape), torch.zeros(2, dtype=torch.long), torch.zeros(2, LATENT)

    def step() -> None:
        for _ in range(CRITIC_STEPS):
            generated = generator(latents, labels).detach()
            real = discriminator(images, labels)
            discriminator_loss(real, discriminator(generated, labels)).backward()  # type: ignore[no-untyped-call]
        generator_loss(discriminator(generator(latents, labels), labels)).backward()  # type: ignore[no-untyped-call]

    return flops(step) // 2


class _Learner(Learner):
    def __init__(self, run: GanRun) -> None:
        self._run = run
        self._data = opened(run.data).train
        self._device = choose_device("auto")
        spec = self._data.spec
        if len(spec.size) != 2:
            raise UserError(f"--data: the GAN is for images, and {run.data.source} has {len(spec.size)} dimensions")
        torch.manual_seed(run.seed)
        self._generator = Generator(spec, run.width).to(self._device)
        self._discriminator = Discriminator(spec, run.width).to(self._device)
        self._average = copy.deepcopy(self._generator)
        self._steps = {
            "generator steps": torch.optim.Adam(self._generator.parameters(), run.generator_rate, (0.0, 0.9)),
            "discriminator steps": torch.optim.Adam(
                self._discriminator.parameters(), 2 * run.generator_rate, (0.0, 0.9)
            ),
        }

    def modules(self) -> dict[str, nn.Module]:
        return {"generator": self._generator, "discriminator": self._discriminator, "average": self._average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return dict(self._steps)

    def learn(self, step: int) -> None:
        random = torch.Generator().manual_seed(mixed_seed(self._run.seed, step, 6))
        for _ in range(CRITIC_STEPS):
            images, labels = self._real(random)
            with torch.no_grad():
                generated = self._generator(self._latents(random), labels)
            loss = discriminator_loss(self._discriminator(images, labels), self._discriminator(generated, labels))
            self._follow(loss, "discriminator steps")
        _, labels = self._real(random)
        loss = generator_loss(self._discriminator(self._generator(self._latents(random), labels), labels))
        self._follow(loss, "generator steps")
        average(self._average, self._generator, step, self._run.average_rate)

    def _follow(self, loss: Tensor, which: str) -> None:
        for optimizer in self._steps.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._steps[which].step()

    def _real(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(self._data), (self._run.batch_size,), generator=random).numpy()
        labels = self._data.labels(rows)
        known = np.zeros(len(rows), np.int64) if labels is None else labels
        images = scaled(self._data.items(rows), self._data.spec.levels)
        return images.to(self._device), torch.from_numpy(known).to(self._device)

    def _latents(self, random: torch.Generator) -> Tensor:
        return torch.randn(self._run.batch_size, LATENT, generator=random).to(self._device)


@dataclass(frozen=True)
class JudgedGan(Measure):
    """Scores of a GAN's samples, classes in turn."""

    count: int

    @torch.no_grad()
    def take(self, subject: Subject, folder: Path, shared: Path) -> Steps[Progress, None, JSON]:
        assert isinstance(subject, GanRun)
        spec = opened(subject.data).spec
        device = choose_device("auto")
        network = Generator(spec, subject.width)
        network.load_state_dict(module_state(folder, "average"))
        network.eval().to(device)
        random = torch.Generator().manual_seed(mixed_seed(subject.seed, 7))
        drawn = []
        for start in range(0, self.count, 256):
            rows = torch.arange(start, min(start + 256, self.count))
            latents = torch.randn(len(rows), LATENT, generator=random)
            labels = rows % max(1, len(spec.class_names))
            drawn.append(quantize(network(latents.to(device), labels.to(device)), spec.levels))
        images = images_of_data(ArrayDataset(spec, np.concatenate(drawn)), {"source": "the GAN"})
        return (yield from judged(images, subject.data, shared, whole=True))


@dataclass(frozen=True)
class GivenSamples(Subject):
    """Another model's samples, from a folder, a zip or an npz file."""

    path: str
    data: DataConfig

    def identity(self) -> JSON:
        place = Path(self.path)
        changed = place.stat().st_mtime if place.exists() else 0
        return {"path": str(place.absolute()), "changed": changed, "data": self.data.model_dump(mode="json")}

    def make(self, folder: Path) -> Steps[Progress, None, None]:
        yield from ()

    def is_made(self, folder: Path) -> bool:
        return True

    def command(self, folder: Path) -> str | None:
        return None

    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class JudgedGiven(Measure):
    """Scores of samples that were given."""

    def take(self, subject: Subject, folder: Path, shared: Path) -> Steps[Progress, None, JSON]:
        assert isinstance(subject, GivenSamples)
        spec = opened(subject.data).spec
        place = Path(subject.path)
        kind = "folder" if place.is_dir() else place.suffix.removeprefix(".")
        channels = spec.channels if spec.channels in (1, 3) and kind != "npz" else None
        reading = DataConfig(source=f"{kind}:{place}", validation=0.0, channels=channels)
        images = in_levels(images_of_data(open_source(reading).train, {"source": subject.path}), spec.levels)
        return (yield from judged(images, subject.data, shared, whole=True))


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
