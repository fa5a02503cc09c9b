"""L_vlb's gradient noise, with uniform and importance-sampled timesteps, beside L_hybrid's; and learning curves."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from iddpm.build import build_objective
from iddpm.config import Config
from iddpm.diffusion import LossSecondMoment, TimestepSampler, diffuse
from iddpm.diffusion.randomness import mixed_seed
from iddpm.experiments.data import opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import (
    JSON,
    Cell,
    Experiment,
    Measure,
    Measured,
    Outcome,
    Subject,
    Table,
)
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Bits
from iddpm.experiments.names import ScaleName
from iddpm.experiments.scales import ObjectiveName, Scale, varied
from iddpm.experiments.verdicts import lower, mean_and_error, plus_minus
from iddpm.model import Model
from iddpm.names import TIMESTEP_SAMPLERS
from iddpm.progress import Progress
from iddpm.training.records import Records

Timesteps = Literal["uniform", "low_discrepancy", "importance"]
RUNS: dict[str, tuple[ObjectiveName, Timesteps]] = {
    "L_vlb, uniform": ("L_vlb", "uniform"),
    "L_vlb, low-discrepancy": ("L_vlb", "low_discrepancy"),
    "L_vlb, importance": ("L_vlb", "importance"),
    "L_hybrid, uniform": ("L_hybrid", "uniform"),
}
COLOURS = dict(zip(RUNS, ("#d9822b", "#8ab17d", "#d1495b", "#2a6fbb"), strict=True))
LOOKS = 10
"""Points of a learning curve."""
BATCHES = 200
"""Gradients that a noise scale is worked out from."""
UNBOUNDED = 1.0
"""Bits/dim to within which the bound is told as it is trained."""
LENGTH: dict[ScaleName, int] = {"tiny": 1000, "small": 4000, "paper": 4000}
"""T: importance sampling begins when every step has ten losses, which in miniature takes long at T = 4,000."""


class GradientNoise(Experiment):
    """Uniform, low-discrepancy and importance-sampled timesteps."""

    name = "gradient-noise"
    title = "Gradient noise"
    paper = "Figures 6 and 7"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        return [
            Cell(
                {"run": name, "seed": seed},
                _run(scale, *RUNS[name], seed),
                (Curve("curve"), NoiseScales("noise", BATCHES), Bits("unbounded", scale.items, UNBOUNDED, clip=False)),
            )
            for seed in range(seeds)
            for name in RUNS
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        by = {(str(each.labels["run"]), each.labels["seed"]): each.found for each in measured}
        seeds = sorted({each.labels["seed"] for each in measured}, key=int)
        own = {name: [by[name, seed]["noise"]["scales"][name] for seed in seeds] for name in RUNS}
        # On the same weights, so that nothing but the timesteps differs: those of the run with importance sampling.
        same = {name: [by["L_vlb, importance", seed]["noise"]["scales"][name] for seed in seeds] for name in RUNS}
        last = {name: [by[name, seed]["curve"]["bits"][-1] for seed in seeds] for name in RUNS}
        trained = {name: [by[name, seed]["unbounded"]["bits"] for seed in seeds] for name in RUNS}
        findings = [
            lower(
                "importance sampling cuts L_vlb's noise scale at least twofold (logarithm of twice the ratio)",
                [
                    (math.log(2 * ours), math.log(theirs))
                    for ours, theirs in zip(same["L_vlb, importance"], same["L_vlb, uniform"], strict=True)
                ],
            ),
            lower(
                "L_hybrid's noise scale is below L_vlb's with uniform timesteps (logarithm)",
                [
                    (math.log(ours), math.log(theirs))
                    for ours, theirs in zip(own["L_hybrid, uniform"], own["L_vlb, uniform"], strict=True)
                ],
            ),
            lower(
                "bits/dim at the end: L_vlb by importance below L_vlb with uniform timesteps",
                list(zip(last["L_vlb, importance"], last["L_vlb, uniform"], strict=True)),
            ),
            lower(
                "the same with x_0 not bounded, as in training",
                list(zip(trained["L_vlb, importance"], trained["L_vlb, uniform"], strict=True)),
            ),
            lower(
                "bits/dim at the end: L_vlb by importance below L_hybrid",
                list(zip(last["L_vlb, importance"], last["L_hybrid, uniform"], strict=True)),
            ),
        ]
        rows = [
            [name, *(plus_minus(*mean_and_error(values[name])) for values in (own, same, last, trained))]
            for name in RUNS
        ]
        header = [
            "objective, timesteps",
            "noise scale, own weights",
            "noise scale, same weights",
            "bits/dim at the end",
            "x_0 not bounded",
        ]
        length = LENGTH[scale.name]
        notes = [
            f"T is {length:,}; the paper's is 4,000.",
            f"Noise scales are tr(Sigma) / |G|^2 of {BATCHES} gradients at the last weights (in images); those on the"
            " same weights are at the weights of the run with importance sampling.",
            "They are without dropout, on batches of 64: with low-discrepancy timesteps the scale depends on that.",
            "Learning curves are held-out bounds on 100 evenly spaced steps, of averaged weights. There predictions of"
            " x_0 are bounded to the data's range, and in training they are not. The last column is the whole chain's"
            " bound as it is trained.",
        ]
        return Outcome([Table("Noise scales", header, rows)], findings, _figure(measured), notes)


def _run(scale: Scale, objective: ObjectiveName, timesteps: Timesteps, seed: int) -> DiffusionRun:
    config = varied(scale.base, num_timesteps=LENGTH[scale.name], objective=objective, timesteps=timesteps, seed=seed)
    every = max(1, config.training.steps // LOOKS)
    looking = config.training.model_copy(
        update={
            "validate_every": every,
            "validate_steps": str(min(100, LENGTH[scale.name])),
            "validate_count": min(128, scale.items),
        }
    )
    return DiffusionRun(config.model_copy(update={"training": looking}))


@dataclass(frozen=True)
class Curve(Measure):
    """Held-out bits/dim during training, from the run's records."""

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        yield Progress("reading records", 0, 1)
        found = [record for record in Records(folder / "metrics.jsonl").read() if "validation_bits" in record]
        return {
            name: [record[key] for record in found] for name, key in (("step", "step"), ("bits", "validation_bits"))
        }


@dataclass(frozen=True)
class NoiseScales(Measure):
    """The gradient's noise scale at a run's last weights, for every objective and way of drawing timesteps.

    tr(Sigma) / |G|^2, the number of images above which a larger batch gains little (McCandlish et al. 2018). The true
    gradient G of an objective is the same however timesteps are drawn, so it is estimated from all of them.
    """

    batches: int
    batch_size: int = 64

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, DiffusionRun)
        model = subject.model(folder, "raw")
        drawn: dict[str, Gradients] = {}
        for place, (name, (objective, timesteps)) in enumerate(RUNS.items()):
            config = varied(
                subject.config,
                num_timesteps=subject.config.diffusion.num_timesteps,
                objective=objective,
                timesteps=timesteps,
                seed=mixed_seed(subject.seed, place),
            )
            sampler = TIMESTEP_SAMPLERS[timesteps](config.diffusion.num_timesteps)
            gradients = _Gradients(model, config, sampler, self.batch_size)
            yield from gradients.warm_up()
            drawn[name] = yield from gradients.collect(self.batches, name)
        squares = {
            objective: _true_square([each for name, each in drawn.items() if RUNS[name][0] == objective])
            for objective, _ in RUNS.values()
        }
        scales = {name: each.trace * self.batch_size / squares[RUNS[name][0]] for name, each in drawn.items()}
        return {"scales": scales, "gradient_squares": squares, "traces": {n: each.trace for n, each in drawn.items()}}


@dataclass(frozen=True)
class Gradients:
    """Of `count` batches: their mean, and the trace of the covariance of one batch's gradient."""

    count: int
    mean: Tensor
    trace: float


def _true_square(found: list[Gradients]) -> float:
    """|G|^2 without the noise's part, from gradients that have the same mean."""
    weights = [each.count / each.trace for each in found]
    mean = torch.stack([weight * each.mean for weight, each in zip(weights, found, strict=True)]).sum(dim=0)
    noise = sum(weight**2 * each.trace / each.count for weight, each in zip(weights, found, strict=True))
    square = (float(mean.square().sum()) - noise) / sum(weights) ** 2
    # Where noise hides the gradient, no more than this can be said.
    return max(square, 1e-3 * noise / sum(weights) ** 2)


class _Gradients:
    """Gradients of an objective at a model's weights, on batches that the configuration's seed decides."""

    def __init__(self, model: Model, config: Config, sampler: TimestepSampler, batch_size: int) -> None:
        self._model, self._sampler, self._size = model, sampler, batch_size
        self._objective, self._seed = build_objective(config), config.training.seed
        self._data = opened(config.data).train
        self._parameters = [each for each in model.network.parameters() if each.requires_grad]
        self._drawn = 0

    def _losses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Steps, losses and weights of one more batch."""
        model = self._model
        generator = torch.Generator().manual_seed(mixed_seed(self._seed, self._drawn))
        rows = torch.randint(len(self._data), (self._size,), generator=generator).numpy().astype(np.int64)
        self._drawn += 1
        x_0 = self._data.batch(rows).to(model.device)
        drawn = self._sampler.draw(self._size, generator)
        t = drawn.t.to(model.device)
        noise = torch.randn(x_0.shape, generator=generator).to(model.device)
        x_t = diffuse(model.diffusion.schedule.at(t, x_0), x_0, noise)
        output = model.predict(model.conditions_from(x_0, self._data, rows))(x_t, t)
        losses = self._objective(model.diffusion, output, x_0, x_t, t, noise)
        return t, losses.total, drawn.weights.to(model.device)

    def warm_up(self) -> Generator[Progress, None, None]:
        """Let the sampler see losses until it draws by their size."""
        steps = self._sampler.num_timesteps
        while isinstance(self._sampler, LossSecondMoment) and not self._sampler.warmed_up:
            with torch.no_grad():
                t, losses, _ = self._losses()
            self._sampler.update(t.cpu(), losses.cpu())
            # Each of T steps must be met ten times: about T (log T + 9 log log T) draws.
            expected = steps * (math.log(steps) + 9 * math.log(math.log(steps))) / self._size
            yield Progress("learning which steps matter", self._drawn, max(self._drawn, round(expected)))

    def collect(self, count: int, name: str) -> Generator[Progress, None, Gradients]:
        """Of `count` batches."""
        total, squares = torch.zeros(0), 0.0
        for done in range(1, count + 1):
            _, losses, weights = self._losses()
            found = torch.autograd.grad((losses * weights).mean(), self._parameters, allow_unused=True)
            flat = torch.cat([
                torch.zeros_like(each).flatten() if gradient is None else gradient.flatten()
                for each, gradient in zip(self._parameters, found, strict=True)
            ]).double().cpu()  # fmt: skip
            total = flat if not len(total) else total + flat
            squares += float(flat.square().sum())
            yield Progress(f"gradients of {name}", done, count)
        mean = total / count
        return Gradients(count, mean, (squares / count - float(mean.square().sum())) * count / (count - 1))


def _figure(measured: list[Measured]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    for each in measured:
        name, curve = str(each.labels["run"]), each.found["curve"]
        label = name if each.labels["seed"] == 0 else None
        left.plot(curve["step"], curve["bits"], color=COLOURS[name], linewidth=0.9, label=label)
    left.set(xlabel="optimizer step", ylabel="held-out bits/dim (100 steps)", yscale="log")
    left.legend(frameon=False, fontsize=8)
    for place, name in enumerate(RUNS):
        for shift, which in enumerate((name, "L_vlb, importance")):
            values = [each.found["noise"]["scales"][name] for each in measured if each.labels["run"] == which]
            style = {"color": COLOURS[name], "alpha": 0.4 if shift else 1.0}
            right.bar(place + 0.4 * shift - 0.2, mean_and_error(values)[0], 0.36, **style)
    right.set_xticks(range(len(RUNS)), [name.replace(", ", "\n") for name in RUNS], fontsize=8)
    right.set(ylabel="gradient noise scale, images", yscale="log", title="own weights; pale: the same for all")
    right.title.set_fontsize(9)
    tidy(left, right)
    return figure
