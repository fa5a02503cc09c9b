"""Table 3: bits/dim beside autoregressive models that are trained on the same data with the same compute."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from iddpm.acceleration import choose_device
from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.scaling import Levels
from iddpm.diffusion.randomness import mixed_seed
from iddpm.experiments.data import images_spec, opened, spec_of
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Cell, Experiment, Measure, Measured, Outcome, Subject, Table
from iddpm.experiments.figures import tidy
from iddpm.experiments.measures import Bits
from iddpm.experiments.names import ScaleName
from iddpm.experiments.rivals.autoregressive import MODELS, Autoregressive
from iddpm.experiments.rivals.learner import Learner, average, flops, module_state, steps_done, train
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import lower, mean_and_error, plus_minus
from iddpm.progress import Progress

PUBLISHED = {
    "Glow": (3.81, 3.35),
    "Flow++": (3.69, 3.08),
    "PixelCNN": (3.57, 3.14),
    "NVAE": (None, 2.91),
    "Very deep VAE": (3.52, 2.87),
    "PixelSNAIL": (3.52, 2.85),
    "Image Transformer": (3.48, 2.90),
    "Sparse Transformer": (3.44, 2.80),
    "Routing Transformer": (3.43, None),
    "DDPM": (None, 3.70),
    "DDPM, continuous flow": (None, 2.99),
    "Improved DDPM": (3.53, 2.94),
}
"""Bits/dim on ImageNet 64x64 and CIFAR-10, as the paper prints them."""


class Settings(NamedTuple):
    """A rival's size, and how it is trained."""

    width: int
    depth: int
    learning_rate: float
    warmup_steps: int = 100
    average_rate: float = 0.995
    batch_size: int | None = None
    """None takes the diffusion model's."""


SIZES: dict[ScaleName, dict[str, Settings]] = {
    "tiny": {
        "PixelCNN": Settings(48, 5, 4e-3, batch_size=16),
        "transformer": Settings(48, 3, 4e-3, batch_size=8),
    },
    "small": {
        "PixelCNN": Settings(126, 12, 4e-4, 500, 0.9995),
        "transformer": Settings(256, 8, 6e-4, 500, 0.9995),
    },
    "paper": {
        "PixelCNN": Settings(192, 15, 3e-4, 2000, 0.9998),
        "transformer": Settings(512, 16, 3e-4, 2000, 0.9998),
    },
}
LONGER = 4
"""Times as many steps for the diffusion model as in other experiments: likelihoods take long to learn."""
CHECKPOINT = 100


class Likelihood(Experiment):
    """L_vlb and L_hybrid beside a PixelCNN and a transformer."""

    name = "likelihood"
    title = "Likelihoods"
    paper = "Table 3"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        cells = []
        for seed in range(seeds):
            steps = LONGER * scale.base.training.steps
            drawn = scale.vlb_timesteps
            runs = {
                "L_hybrid": DiffusionRun(varied(scale.base, objective="L_hybrid", steps=steps, seed=seed)),
                "L_vlb": DiffusionRun(varied(scale.base, objective="L_vlb", timesteps=drawn, steps=steps, seed=seed)),
            }
            measure = Bits("bits", scale.items, scale.error)
            cells += [
                Cell({"model": f"diffusion, {name}", "seed": seed}, run, (measure,)) for name, run in runs.items()
            ]
            for kind, settings in SIZES[scale.name].items():
                rival = AutoregressiveRun.with_budget(runs["L_hybrid"], kind, settings)
                cells.append(Cell({"model": kind, "seed": seed}, rival, (ExactBits("bits", scale.items),)))
        return cells

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        names = list(dict.fromkeys(str(each.labels["model"]) for each in measured))
        found = {name: [each.found["bits"] for each in measured if each.labels["model"] == name] for name in names}
        bits = {name: [float(each["bits"]) for each in results] for name, results in found.items()}
        # As the paper's table has it: better than the PixelCNN, not as good as transformers.
        pairs = [(ours, "PixelCNN") for ours in names[:2]] + [("transformer", ours) for ours in names[:2]]
        findings = [
            lower(f"{better} below {worse}", list(zip(bits[better], bits[worse], strict=True)))
            for better, worse in pairs
        ]
        items = next(iter(found.values()))[0]["items"]
        budget = _budget(scale)
        rows = [
            [name, plus_minus(*mean_and_error(bits[name])), f"{budget[name][0] / 1e12:.2f}", f"{budget[name][1]:,}"]
            for name in names
        ]
        ours = Table("Bits/dim here", ["model", "bits/dim", "training, TFLOP", "parameters"], rows)
        theirs = [
            [name, *("" if value is None else f"{value:.2f}" for value in values)] for name, values in PUBLISHED.items()
        ]
        published = Table("Published bits/dim", ["model", "ImageNet 64x64", "CIFAR-10"], theirs)
        notes = [
            "Autoregressive likelihoods are exact; diffusion's are the bound on the whole chain, estimated to within"
            f" {scale.error:g}. All were trained on the same items with as many FLOPs (counted), and scored on the same"
            f" {items:,} held-out items, with averaged weights.",
            "Rivals' distributions are mixtures of logistic ones (PixelCNN++), whose bins are the grey levels; their"
            " learning rates and batches were chosen from a few by bits/dim of one seed, diffusion's were not.",
        ]
        return Outcome([ours, published], findings, _figure(bits), notes)


@cache
def _flops_of(kind: str, width: int, depth: int, spec: DatasetSpec) -> tuple[int, int]:
    """Of a forward and a backward pass of one item; and how many parameters."""
    with torch.device("meta"):
        network = MODELS[kind](spec, width, depth)
        items = torch.zeros(1, *spec.shape, dtype=torch.long)
    count = sum(each.numel() for each in network.parameters())
    return flops(lambda: network(items).sum().backward()), count


def _budget(scale: Scale) -> dict[str, tuple[int, int]]:
    """FLOPs of training, and parameters, by model."""
    from iddpm.build import build_network

    found: dict[str, tuple[int, int]] = {}
    for cell in Likelihood().cells(scale, 1):
        subject, name = cell.subject, str(cell.labels["model"])
        if isinstance(subject, DiffusionRun):
            with torch.device("meta"):
                network = build_network(subject.config, spec_of(subject.config.data))
            found[name] = subject.flops(), sum(each.numel() for each in network.parameters())
        elif isinstance(subject, AutoregressiveRun):
            settings = subject.settings
            _, count = _flops_of(subject.kind, settings.width, settings.depth, spec_of(subject.data))
            found[name] = subject.flops(), count
    return found


@dataclass(frozen=True)
class AutoregressiveRun(Subject):
    """A PixelCNN or a transformer in training: AdamW, warm-up and linear decay, averaged weights."""

    kind: str
    settings: Settings
    data: DataConfig
    steps: int
    batch_size: int
    seed: int

    @classmethod
    def with_budget(cls, run: DiffusionRun, kind: str, settings: Settings) -> AutoregressiveRun:
        """As many steps as take the FLOPs of `run`'s training, with its data and seed."""
        config = run.config
        spec = images_spec(config.data, "a rival of likelihood")
        each, _ = _flops_of(kind, settings.width, settings.depth, spec)
        size = settings.batch_size or config.training.batch_size
        return cls(kind, settings, config.data, max(1, run.flops() // (each * size)), size, config.training.seed)

    def identity(self) -> JSON:
        return {**vars(self), "data": self.data.model_dump(mode="json"), "version": 3}

    def make(self, folder: Path) -> Generator[Progress, None, None]:
        if not self.is_made(folder):
            yield from train(_Learner(self), folder, self.steps, CHECKPOINT)

    def is_made(self, folder: Path) -> bool:
        return steps_done(folder) >= self.steps

    def command(self, folder: Path) -> str | None:
        return None

    def flops(self) -> int:
        each, _ = _flops_of(self.kind, self.settings.width, self.settings.depth, spec_of(self.data))
        return each * self.steps * self.batch_size

    def network(self) -> Autoregressive:
        """Before its training."""
        made: Autoregressive = MODELS[self.kind](opened(self.data).spec, self.settings.width, self.settings.depth)
        return made

    def model(self, folder: Path) -> Autoregressive:
        """With averaged weights."""
        network = self.network()
        network.load_state_dict(module_state(folder, "average"))
        return network.eval().to(choose_device("auto"))


class _Learner(Learner):
    def __init__(self, run: AutoregressiveRun) -> None:
        self._run = run
        self._data = opened(run.data).train
        self._device = choose_device("auto")
        torch.manual_seed(run.seed)
        self._network = run.network().to(self._device)
        self._average = copy.deepcopy(self._network)
        self._optimizer = torch.optim.AdamW(self._network.parameters(), lr=run.settings.learning_rate, weight_decay=0.0)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self._network, "average": self._average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimizer": self._optimizer}

    def learn(self, step: int) -> None:
        run = self._run
        generator = np.random.default_rng(mixed_seed(run.seed, step, 5))
        rows = generator.integers(0, len(self._data), run.batch_size)
        for group in self._optimizer.param_groups:
            warm = min(1.0, (step + 1) / run.settings.warmup_steps)
            group["lr"] = run.settings.learning_rate * warm * (1 - step / run.steps)
        self._network(as_tensor(self._data.items(rows), self._device)).mean().backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        average(self._average, self._network, step, run.settings.average_rate)


def as_tensor(items: Levels, device: torch.device) -> Tensor:
    """Grey levels as indices."""
    return torch.from_numpy(items.astype(np.int64)).to(device)


@dataclass(frozen=True)
class ExactBits(Measure):
    """An autoregressive model's bits/dim on held-out items."""

    count: int

    @torch.no_grad()
    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, AutoregressiveRun)
        network = subject.model(folder)
        held_out = opened(subject.data).validation
        assert held_out is not None
        count = min(self.count, len(held_out))
        found: list[Tensor] = []
        device = next(network.parameters()).device
        for start in range(0, count, 64):
            rows = np.arange(start, min(start + 64, count))
            found.append(network(as_tensor(held_out.items(rows), device)).double().cpu())
            yield Progress("scoring", min(start + 64, count), count)
        bits = torch.cat(found)
        return {"bits": float(bits.mean()), "error": float(bits.std()) / math.sqrt(count), "items": count}


def _figure(bits: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(6, 3.2), layout="constrained", dpi=110)
    axes = figure.subplots()
    for place, (name, values) in enumerate(bits.items()):
        mean, error = mean_and_error(values)
        colour = "#2a6fbb" if name.startswith("diffusion") else "#d9822b"
        axes.errorbar([mean], [place], xerr=[error], color=colour, marker="o")
        axes.plot(values, [place] * len(values), ".", color=colour, alpha=0.4)
    axes.set_yticks(range(len(bits)), list(bits))
    axes.set(xlabel="bits/dim, held out")
    axes.invert_yaxis()
    tidy(axes)
    return figure
