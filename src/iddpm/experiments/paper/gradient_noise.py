"""L_vlb's gradient noise, with uniform and importance-sampled timesteps, beside L_hybrid's; and learning curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from iddpm.build import build_objective
from iddpm.checkpoints.run import RunDirectory
from iddpm.config import Config
from iddpm.diffusion import LossSecondMoment, diffuse
from iddpm.diffusion.randomness import mixed_seed
from iddpm.experiments.data import opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Cell, Experiment, Measure, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import BLUE, GREEN, ORANGE, RED, panels, tidy
from iddpm.experiments.measures import Bits
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import lower, mean_and_error, mean_text
from iddpm.model import Model
from iddpm.names import TIMESTEP_SAMPLERS
from iddpm.progress import Progress, Work, ready
from iddpm.training.records import Records

VLB_UNIFORM, VLB_IMPORTANCE, HYBRID = "L_vlb, uniform", "L_vlb, importance", "L_hybrid, uniform"
RUNS = {
    VLB_UNIFORM: ("L_vlb", "uniform"),
    "L_vlb, low-discrepancy": ("L_vlb", "low_discrepancy"),
    VLB_IMPORTANCE: ("L_vlb", "importance"),
    HYBRID: ("L_hybrid", "uniform"),
}
"""Objective and timesteps."""
COLOURS = dict(zip(RUNS, (ORANGE, GREEN, RED, BLUE), strict=True))
LOOKS = 10
"""Points of a learning curve."""
BATCHES = 200
"""Gradients that a noise scale is computed from."""
UNBOUNDED = 1.0
"""Bits/dim to within which the bound is estimated as it is trained."""
LENGTH = {"tiny": 1000, "small": 4000, "paper": 4000}
"""T by scale: importance sampling begins when every step has ten losses, which tiny runs do not reach at T = 4,000."""


class GradientNoise(Experiment):
    """Uniform, low-discrepancy and importance-sampled timesteps."""

    title = "Gradient noise"
    paper = "Figures 6 and 7"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        unbounded = Bits("unbounded", scale.items, UNBOUNDED, clip=False)
        return [
            Cell(
                {"run": name, "seed": seed},
                _run(scale, objective, timesteps, seed),
                (Curve("curve"), NoiseScales("noise", BATCHES), unbounded),
            )
            for seed in range(seeds)
            for name, (objective, timesteps) in RUNS.items()
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        own = {name: over_seeds(measured, "noise", "scales", name, run=name) for name in RUNS}
        # On the same weights, so that nothing but the timesteps differs: those of the run with importance sampling.
        same = {name: over_seeds(measured, "noise", "scales", name, run=VLB_IMPORTANCE) for name in RUNS}
        last = {name: [bits[-1] for bits in over_seeds(measured, "curve", "bits", run=name)] for name in RUNS}
        trained = {name: over_seeds(measured, "unbounded", "bits", run=name) for name in RUNS}
        findings = [
            lower(
                "importance sampling cuts L_vlb's noise scale at least twofold (logarithm of twice the ratio)",
                [math.log(2 * noise) for noise in same[VLB_IMPORTANCE]],
                [math.log(noise) for noise in same[VLB_UNIFORM]],
            ),
            lower(
                "L_hybrid's noise scale is below L_vlb's with uniform timesteps (logarithm)",
                [math.log(noise) for noise in own[HYBRID]],
                [math.log(noise) for noise in own[VLB_UNIFORM]],
            ),
            lower(
                "bits/dim at the end: L_vlb by importance below L_vlb with uniform timesteps",
                last[VLB_IMPORTANCE],
                last[VLB_UNIFORM],
            ),
            lower("the same with x_0 not bounded, as in training", trained[VLB_IMPORTANCE], trained[VLB_UNIFORM]),
            lower("bits/dim at the end: L_vlb by importance below L_hybrid", last[VLB_IMPORTANCE], last[HYBRID]),
        ]
        columns = {
            "noise scale, own weights": own,
            "noise scale, same weights": same,
            "bits/dim at the end": last,
            "x_0 not bounded": trained,
        }
        rows = [[name, *(mean_text(values[name]) for values in columns.values())] for name in RUNS]
        table = Table("Noise scales", ["objective, timesteps", *columns], rows)
        return Outcome([table], findings, _figure(measured, own, same), _notes(LENGTH[scale.name]))


def _notes(length: int) -> list[str]:
    return [
        f"T is {length:,}; the paper's is 4,000.",
        f"Noise scales are tr(Sigma) / |G|^2 of {BATCHES} gradients at the last weights (in images); those on the"
        " same weights are at the weights of the run with importance sampling.",
        "They are without dropout, on batches of 64: with low-discrepancy timesteps the scale depends on that.",
        "Learning curves are held-out bounds on 100 evenly spaced steps, of averaged weights. There predictions of"
        " x_0 are bounded to the data's range, and in training they are not. The last column is the whole chain's"
        " bound as it is trained.",
    ]


def _run(scale: Scale, objective: str, timesteps: str, seed: int) -> DiffusionRun:
    length = LENGTH[scale.name]
    config = varied(scale.base, num_timesteps=length, objective=objective, timesteps=timesteps, seed=seed)
    looks = {
        "validate_every": max(1, config.training.steps // LOOKS),
        "validate_steps": str(min(100, length)),
        "validate_count": min(128, scale.items),
    }
    return DiffusionRun(config.with_changes(training=looks))


@dataclass(frozen=True)
class Curve(Measure[DiffusionRun]):
    """Held-out bits/dim during training, from the run's records."""

    def take(self, subject: DiffusionRun, folder: Path, shared: Path) -> Work[JSON]:
        records = [record for record in Records(RunDirectory(folder).metrics).read() if "validation_bits" in record]
        return ready({"step": [r["step"] for r in records], "bits": [r["validation_bits"] for r in records]})


@dataclass(frozen=True)
class NoiseScales(Measure[DiffusionRun]):
    """The gradient's noise scale at a run's last weights, for every objective and way of drawing timesteps.

    tr(Sigma) / |G|^2, the number of images above which a larger batch gains little (McCandlish et al. 2018). The true
    gradient G of an objective is the same however timesteps are drawn, so it is estimated from all of them.
    """

    batches: int
    batch_size: int = 64

    def take(self, subject: DiffusionRun, folder: Path, shared: Path) -> Work[JSON]:
        model = subject.model(folder, "raw")
        gradients: dict[str, Gradients] = {}
        for place, (name, (objective, timesteps)) in enumerate(RUNS.items()):
            config = varied(
                subject.config,
                num_timesteps=subject.config.diffusion.num_timesteps,
                objective=objective,
                timesteps=timesteps,
                seed=mixed_seed(subject.seed, place),
            )
            source = _GradientSource(model, config, self.batch_size)
            yield from source.warm_up()
            gradients[name] = yield from source.collect(self.batches, name)
        squares = {
            objective: _true_square([part for name, part in gradients.items() if RUNS[name][0] == objective])
            for objective, _ in RUNS.values()
        }
        traces = {name: part.trace for name, part in gradients.items()}
        scales = {name: trace * self.batch_size / squares[RUNS[name][0]] for name, trace in traces.items()}
        return {"scales": scales, "gradient_squares": squares, "traces": traces}


@dataclass(frozen=True)
class Gradients:
    """The mean of the gradients of `count` batches, and the trace of the covariance of one batch's gradient."""

    count: int
    mean: Tensor
    trace: float


def _true_square(parts: list[Gradients]) -> float:
    """Return |G|^2 without the noise's part, from gradients that have the same mean."""
    weights = [part.count / part.trace for part in parts]
    mean = torch.stack([weight * part.mean for weight, part in zip(weights, parts, strict=True)]).sum(dim=0)
    noise = sum(weight**2 * part.trace / part.count for weight, part in zip(weights, parts, strict=True))
    square = (float(mean.square().sum()) - noise) / sum(weights) ** 2
    # Where noise hides the gradient, no more than this can be said.
    return max(square, 1e-3 * noise / sum(weights) ** 2)


class _GradientSource:
    """Gradients of an objective at a model's weights, on batches that the configuration's seed decides."""

    def __init__(self, model: Model, config: Config, batch_size: int) -> None:
        self._model, self._size = model, batch_size
        self._sampler = TIMESTEP_SAMPLERS[config.objective.timesteps](config.diffusion.num_timesteps)
        self._objective, self._seed = build_objective(config), config.training.seed
        self._data = opened(config.data).train
        self._parameters = [weights for weights in model.network.parameters() if weights.requires_grad]
        self._drawn = 0

    def _losses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return steps, losses and weights of one more batch."""
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

    def warm_up(self) -> Work[None]:
        """Let the sampler see losses until it draws by their size."""
        steps = self._sampler.num_timesteps
        while isinstance(self._sampler, LossSecondMoment) and not self._sampler.warmed_up:
            with torch.no_grad():
                t, losses, _ = self._losses()
            self._sampler.update(t.cpu(), losses.cpu())
            # Each of T steps must be met ten times: about T (log T + 9 log log T) draws.
            expected = steps * (math.log(steps) + 9 * math.log(math.log(steps))) / self._size
            yield Progress("learning which steps matter", self._drawn, max(self._drawn, round(expected)))

    def collect(self, count: int, name: str) -> Work[Gradients]:
        """Take the gradients of `count` batches."""
        total, squares = torch.zeros(()), 0.0
        for done in range(1, count + 1):
            _, losses, weights = self._losses()
            parts = torch.autograd.grad(
                (losses * weights).mean(), self._parameters, allow_unused=True, materialize_grads=True
            )
            gradient = torch.cat([part.flatten() for part in parts]).double().cpu()
            total = total + gradient
            squares += float(gradient.square().sum())
            yield Progress(f"gradients of {name}", done, count)
        mean = total / count
        return Gradients(count, mean, (squares / count - float(mean.square().sum())) * count / (count - 1))


def _figure(measured: list[Measured], own: dict[str, list[float]], same: dict[str, list[float]]) -> Figure:
    figure, (left, right) = panels(2)
    for run in measured:
        name, curve = str(run.labels["run"]), run.results["curve"]
        label = name if run.labels["seed"] == 0 else None
        left.plot(curve["step"], curve["bits"], color=COLOURS[name], linewidth=0.9, label=label)
    left.set(xlabel="optimizer step", ylabel="held-out bits/dim (100 steps)", yscale="log")
    left.legend(frameon=False, fontsize=8)
    for place, name in enumerate(RUNS):
        for shift, (values, alpha) in enumerate(((own, 1.0), (same, 0.4))):
            mean, _ = mean_and_error(values[name])
            right.bar(place + 0.4 * shift - 0.2, mean, 0.36, color=COLOURS[name], alpha=alpha)
    right.set_xticks(range(len(RUNS)), [name.replace(", ", "\n") for name in RUNS], fontsize=8)
    right.set(ylabel="gradient noise scale, images", yscale="log", title="own weights; pale: the same for all")
    right.title.set_fontsize(9)
    tidy(left, right)
    return figure
