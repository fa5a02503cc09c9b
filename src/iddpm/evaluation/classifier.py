"""Features for data that no public network knows: those of a small classifier, trained on the data's own labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.config import DatasetSpec
from iddpm.errors import UserError

VERSION = 3
"""Of all that decides the weights: whoever changes the network or its training counts on."""
DIMENSIONS = 64
WIDTH = 32
STEPS = 600
BATCH = 128
PEAK_RATE = 3e-3
HELD_OUT = 0.1
CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class Labelled(Protocol):
    """Data with classes: grey levels and labels by row."""

    spec: DatasetSpec

    def __len__(self) -> int: ...

    def items(self, indices: NDArray[np.integer[Any]]) -> NDArray[np.unsignedinteger[Any]]:
        """`[batch, channels, *size]`."""

    def labels(self, indices: NDArray[np.integer[Any]]) -> NDArray[np.int64] | None:
        """`[batch]`."""


class Classifier(nn.Module):
    """Brightness in [0, 1], `[batch, channels, *size]`, -> logits `[batch, classes]`, by way of 64 features."""

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__()
        self.spec = spec
        convolution = CONVOLUTIONS[len(spec.size)]
        layers: list[nn.Module] = [convolution(spec.channels, WIDTH, 3, padding=1), nn.ReLU()]
        width, side = WIDTH, max(spec.size)
        while side > 4:
            layers += [convolution(width, 2 * WIDTH, 3, stride=2, padding=1), nn.ReLU()]
            width, side = 2 * WIDTH, -(-side // 2)
        self.body = nn.Sequential(*layers, POOLS[len(spec.size)](2), nn.Flatten())
        self.features = nn.Linear(width * 2 ** len(spec.size), DIMENSIONS)
        self.classes = nn.Linear(DIMENSIONS, len(spec.class_names))

    def embed(self, brightness: Tensor) -> Tensor:
        """The features, `[batch, 64]`."""
        found: Tensor = self.features(self.body(brightness * 2 - 1))
        return found

    def forward(self, brightness: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.embed(brightness).relu())
        return logits


@dataclass(frozen=True)
class Trained:
    """A classifier, and the share of held-out items that it names rightly."""

    network: Classifier
    accuracy: float


Progress = Callable[[int, int], None]
"""(steps done, of how many)."""


def train_classifier(data: Labelled, progress: Progress = lambda done, count: None) -> Trained:
    """The same network for the same data, on processors of one kind: a fixed seed, so many steps, one thread.

    (Several threads sum in another order, and last digits grow into other weights.) UserError for data with fewer than
    two classes.
    """
    with _one_thread():
        return _trained(data, progress)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(data: Labelled, progress: Progress) -> Trained:
    count = len(data)
    everything = np.arange(count)
    labels = data.labels(everything)
    if labels is None or len(data.spec.class_names) < 2:
        raise UserError("features: classifier needs data with classes (sub-folders, or what stands before _ in names)")

    def brightness(rows: NDArray[np.integer[Any]]) -> Tensor:
        return torch.from_numpy(data.items(rows).astype(np.float32)) / (data.spec.levels - 1)

    order = np.random.default_rng(0).permutation(count)
    held_out, rest = np.split(order, [max(1, round(HELD_OUT * count))])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Classifier(data.spec)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS)
    draws = np.random.default_rng(1)
    for step in range(STEPS):
        rows = draws.choice(rest, min(BATCH, len(rest)), replace=False)
        logits = network(brightness(rows))
        loss = F.cross_entropy(logits, torch.from_numpy(labels[rows]), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
        progress(step + 1, STEPS)
    network.eval().requires_grad_(False)
    right = 0
    for rows in np.array_split(held_out, -(-len(held_out) // BATCH)):
        right += int((network(brightness(rows)).argmax(dim=1).numpy() == labels[rows]).sum())
    return Trained(network, right / len(held_out))
