"""A GAN as an experiment's subject: in training, and judged."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from iddpm.acceleration import choose_device
from iddpm.config import DatasetSpec
from iddpm.data import ArrayDataset, quantize
from iddpm.diffusion.randomness import mixed_seed
from iddpm.evaluation.images import images_of_data
from iddpm.experiments.data import images_spec, opened, spec_of
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Measure
from iddpm.experiments.measures import judged
from iddpm.experiments.rivals.gan import LATENT, Discriminator, Generator, discriminator_loss, generator_loss, settle
from iddpm.experiments.rivals.learner import Learner, Rival, average, count_flops, module_state
from iddpm.progress import Progress, Work

CRITIC_STEPS = 2
"""Steps of the discriminator for each of the generator."""
TRAINING, SAMPLES = 6, 7
"""Streams of a run's seed."""


@dataclass(frozen=True)
class GanRun(Rival):
    """A GAN in training."""

    width: int
    generator_rate: float
    average_rate: float
    version = 1
    checkpoint_every = 200

    @classmethod
    def with_budget(
        cls, run: DiffusionRun, width: int, batch_size: int, generator_rate: float, average_rate: float
    ) -> GanRun:
        """Return a run of as many steps as take the FLOPs of `run`'s training, with its data and seed."""
        data = run.config.data
        steps = max(1, run.flops() // (batch_size * _item_flops(images_spec(data, "the GAN of coverage"), width)))
        return cls(data, steps, batch_size, run.seed, width, generator_rate, average_rate)

    def learner(self) -> Learner:
        return _Learner(self)

    def item_flops(self) -> int:
        return _item_flops(spec_of(self.data), self.width)


@cache
def _item_flops(spec: DatasetSpec, width: int) -> int:
    with torch.device("meta"):
        generator, discriminator = Generator(spec, width), Discriminator(spec, width)
        images, labels, latents = torch.zeros(2, *spec.shape), torch.zeros(2, dtype=torch.long), torch.zeros(2, LATENT)

    def step() -> None:
        for _ in range(CRITIC_STEPS):
            generated = generator(latents, labels).detach()
            real = discriminator(images, labels)
            discriminator_loss(real, discriminator(generated, labels)).backward()  # type: ignore[no-untyped-call]
        generator_loss(discriminator(generator(latents, labels), labels)).backward()  # type: ignore[no-untyped-call]

    return count_flops(step) // 2


class _Learner(Learner):
    def __init__(self, run: GanRun) -> None:
        self._run = run
        self._data = opened(run.data).train
        self._device = choose_device("auto")
        spec = self._data.spec
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
        random = torch.Generator().manual_seed(mixed_seed(self._run.seed, step, TRAINING))
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
        if labels is None:
            labels = np.zeros(len(rows), np.int64)
        return self._data.batch(rows).to(self._device), torch.from_numpy(labels).to(self._device)

    def _latents(self, random: torch.Generator) -> Tensor:
        return torch.randn(self._run.batch_size, LATENT, generator=random).to(self._device)


@dataclass(frozen=True)
class JudgedGan(Measure[GanRun]):
    """Scores of a GAN's samples, classes in turn."""

    count: int
    compares_features = True

    def take(self, subject: GanRun, folder: Path, shared: Path) -> Work[JSON]:
        spec = opened(subject.data).spec
        device = choose_device("auto")
        random = torch.Generator().manual_seed(mixed_seed(subject.seed, SAMPLES))
        network = Generator(spec, subject.width)
        network.load_state_dict(module_state(folder, "average"))
        settle(network.to(device), subject.batch_size, random)
        batches = []
        for start in range(0, self.count, 256):
            rows = torch.arange(start, min(start + 256, self.count))
            latents = torch.randn(len(rows), LATENT, generator=random)
            labels = rows % max(1, len(spec.class_names))
            with torch.no_grad():
                batches.append(quantize(network(latents.to(device), labels.to(device)), spec.levels))
            yield Progress("drawing samples", len(rows) + start, self.count)
        images = images_of_data(ArrayDataset(spec, np.concatenate(batches)), {"source": "the GAN"})
        return (yield from judged(images, subject.data, shared, whole=True))
