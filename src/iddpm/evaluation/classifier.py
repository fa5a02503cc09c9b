"""A small classifier of the data's own labels: its features are compared where no public network knows the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from iddpm.config import DatasetSpec
from iddpm.data import Dataset
from iddpm.errors import UserError
from iddpm.networks.layers import CONVOLUTIONS
from iddpm.progress import Progress, Work

DIMENSIONS = 64
WIDTH = 32
STEPS = 600
BATCH = 128
PEAK_RATE = 3e-3
HELD_OUT = 0.1
POOLS: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class Classifier(nn.Module):
    """A network from brightness in [0, 1], `[batch, channels, *size]`, by way of 64 features to logits."""

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
        """Return the features, `[batch, 64]`."""
        features: Tensor = self.features(self.body(brightness * 2 - 1))
        return features

    def forward(self, brightness: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.embed(brightness).relu())
        return logits


def train_classifier(data: Dataset) -> Work[tuple[Classifier, float]]:
    """Train a classifier; return it and its accuracy on items that were held out from it.

    It becomes the same network for the same data, on processors of one kind: a fixed seed, so many steps, one thread.
    (Several threads sum in another order, and last digits grow into other weights.) UserError for data with fewer than
    two classes.
    """
    count = len(data)
    labels = data.labels(np.arange(count))
    if labels is None or len(data.spec.class_names) < 2:
        way = "sub-folders, or words before _ in file names, make them"
        raise UserError("classifier needs data with classes", field="features", way=way)

    def logits(rows: NDArray[np.integer[Any]]) -> Tensor:
        output: Tensor = network(torch.from_numpy(data.items(rows).astype(np.float32)) / (data.spec.levels - 1))
        return output

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
        with _one_thread():
            loss = F.cross_entropy(logits(rows), torch.from_numpy(labels[rows]), label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        rates.step()
        yield Progress(f"training a classifier of {len(data.spec.class_names)} classes", step + 1, STEPS)
    network.eval().requires_grad_(False)
    with _one_thread():
        parts = np.array_split(held_out, -(-len(held_out) // BATCH))
        correct = sum(int((logits(rows).argmax(dim=1).numpy() == labels[rows]).sum()) for rows in parts)
    return network, correct / len(held_out)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
