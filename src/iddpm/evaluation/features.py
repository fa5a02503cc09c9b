"""What images look like to a network: the vectors that scores compare, and which network they come from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from iddpm.evaluation.classifier import VERSION, Classifier, Labelled, train_classifier
from iddpm.files import replacing


@dataclass(frozen=True)
class Embedded:
    """A batch as a network sees it: `features` `[n, d]`, and `logits` `[n, classes]` where it has classes."""

    features: Tensor
    logits: Tensor | None = None


class FeatureNetwork(ABC):
    """Grey levels to features.

    name: as users say it. weights: a hash of the weights, so that two results can be told to be of the same features.
    notes: whatever else a reader of a result wants to know of the network (JSON values).
    """

    name: str
    weights: str
    notes: dict[str, Any]

    @abstractmethod
    def embed(self, levels: NDArray[np.unsignedinteger[Any]]) -> Embedded:
        """Of grey levels `[n, channels, *size]`."""


class ClassifierFeatures(FeatureNetwork):
    """A small classifier of the data's own labels, for data that other networks have not seen the like of."""

    name = "classifier"

    def __init__(self, network: Classifier, accuracy: float) -> None:
        self._network = network
        self.weights = hash_of(network)
        self.notes = {"accuracy on held-out items": accuracy}

    @classmethod
    def for_data(cls, data: Labelled, fingerprint: str, folder: Path) -> ClassifierFeatures:
        """Of `data`, trained once and kept in `folder` under its fingerprint; damaged files are made anew."""
        path = folder / f"classifier-{VERSION}-{fingerprint}.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                accuracy = float(file.metadata()["accuracy"])
            network = Classifier(data.spec)
            network.load_state_dict(state)
            return cls(network.eval().requires_grad_(False), accuracy)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
            trained = train_classifier(data)
        with replacing(path) as beside:
            beside.write_bytes(save(trained.network.state_dict(), {"accuracy": repr(trained.accuracy)}))
        return cls(trained.network, trained.accuracy)

    @torch.no_grad()
    def embed(self, levels: NDArray[np.unsignedinteger[Any]]) -> Embedded:
        features = self._network.embed(torch.from_numpy(levels.astype(np.int64)))
        return Embedded(features, self._network.classes(features.relu()))


def hash_of(network: nn.Module) -> str:
    """16 hexadecimal digits of all that a network has learned."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
