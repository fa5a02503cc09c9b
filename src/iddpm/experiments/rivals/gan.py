"""A class-conditional GAN, for comparison: hinge loss, residual networks, spectral normalisation, averaged weights.

After SN-GAN with projection (Miyato & Koyama 2018) and BigGAN (Brock et al. 2019), without what those need at scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from iddpm.config import DatasetSpec

LATENT = 64
SETTLING = 100
"""Batches that normalisation is taken from before samples are drawn."""
SMALLEST = 4
"""Side of the feature maps at the generator's start and the discriminator's end."""


def doublings(spec: DatasetSpec) -> int:
    """Return how often the smallest feature map is doubled to reach the data's size."""
    count = 0
    while SMALLEST << count < max(spec.size):
        count += 1
    return count


class ClassNorm(nn.Module):
    """Batch normalisation, with a scale and a shift for each class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale, self.shift = nn.Embedding(classes, width), nn.Embedding(classes, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self.norm(x) * self.scale(labels)[..., None, None] + self.shift(labels)[..., None, None]
        return out


class GeneratorBlock(nn.Module):
    """A block that doubles the size: norm, ReLU, enlarge, convolution, norm, ReLU, convolution, and a way around."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ClassNorm(width, classes) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        h = F.interpolate(F.relu(self.norms[0](x, labels)), scale_factor=2)
        h = self.convolutions[1](F.relu(self.norms[1](self.convolutions[0](h), labels)))
        out: Tensor = F.interpolate(x, scale_factor=2) + h
        return out


class Generator(nn.Module):
    """A network from latents `[batch, 64]` and labels to images in [-1, 1]."""

    def __init__(self, spec: DatasetSpec, width: int) -> None:
        super().__init__()
        self.spec = spec
        classes = max(1, len(spec.class_names))
        self.first = nn.Linear(LATENT, width * SMALLEST**2)
        self.blocks = nn.ModuleList(GeneratorBlock(width, classes) for _ in range(doublings(spec)))
        self.norm = ClassNorm(width, classes)
        self.last = nn.Conv2d(width, spec.channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        x = self.first(latents).unflatten(1, (-1, SMALLEST, SMALLEST))
        for block in self.blocks:
            x = block(x, labels)
        image: Tensor = torch.tanh(self.last(F.relu(self.norm(x, labels))))
        return image[..., : self.spec.size[0], : self.spec.size[1]]


@torch.no_grad()
def settle(network: Generator, batch_size: int, random: torch.Generator) -> None:
    """Make it ready to draw: normalised as batches of the network itself are.

    Averaged weights do not fit the normalisation of those that they are averages of (BigGAN's standing statistics).
    """
    device = network.last.weight.device
    for norm in [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    network.train()
    for _ in range(SETTLING):
        labels = torch.randint(len(network.norm.scale.weight), (batch_size,), generator=random)
        network(torch.randn(batch_size, LATENT, generator=random).to(device), labels.to(device))
    network.eval()


class DiscriminatorBlock(nn.Module):
    """A block that halves the size: ReLU, convolution, ReLU, convolution, mean over 2x2, and a way around."""

    def __init__(self, inputs: int, width: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.first = spectral_norm(nn.Conv2d(inputs, width, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(width, width, 3, padding=1))
        self.around = spectral_norm(nn.Conv2d(inputs, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.around(x) + self.second(F.relu(self.first(F.relu(x))))
        return F.avg_pool2d(out, 2) if self.halve else out


class Discriminator(nn.Module):
    """A network that says how real images in [-1, 1] look: a score, and the label's projection on features."""

    def __init__(self, spec: DatasetSpec, width: int) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(spec.channels, width, 3, padding=1))
        self.blocks = nn.ModuleList(
            [
                *(DiscriminatorBlock(width, width, halve=True) for _ in range(doublings(spec))),
                DiscriminatorBlock(width, width, halve=False),
            ]
        )
        self.score = spectral_norm(nn.Linear(width, 1))
        self.label = spectral_norm(nn.Embedding(max(1, len(spec.class_names)), width))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.first(images)
        for block in self.blocks:
            x = block(x)
        features = F.relu(x).sum(dim=(2, 3))
        scores: Tensor = self.score(features)[:, 0] + (self.label(labels) * features).sum(dim=1)
        return scores


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return the hinge loss: real images should score above 1, and generated ones below -1."""
    return F.relu(1 - real).mean() + F.relu(1 + generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Return the loss of a generator, whose images should score high."""
    return -generated.mean()
