"""What images look like to a network: the vectors that scores compare, and which network they come from."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.evaluation.classifier import VERSION, Classifier, Labelled, Progress, train_classifier
from iddpm.files import replacing
from iddpm.networks.hashing import hash_of

Levels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Embedded:
    """A batch as a network sees it.

    features: `[n, d]`. logits: `[n, classes]`, where it has classes. spatial: `[n, s]`, where the network has features
    that keep the place of what they see.
    """

    features: Tensor
    logits: Tensor | None = None
    spatial: Tensor | None = None


class FeatureNetwork(ABC):
    """Grey levels to features.

    name: as users say it. weights: a hash of the weights, so that two results can be told to be of the same features.
    notes: whatever else a reader of a result wants to know of the network (JSON values).
    """

    name: str
    weights: str
    notes: dict[str, Any]

    @abstractmethod
    def embed(self, items: Levels, levels: int) -> Embedded:
        """Of grey levels 0 ... levels - 1, `[n, channels, *size]`."""

    def manifest(self) -> dict[str, Any]:
        """What a result says of its features."""
        return {"name": self.name, "weights": self.weights, **self.notes}


class ClassifierFeatures(FeatureNetwork):
    """A small classifier of the data's own labels, for data that other networks have not seen the like of."""

    name = "classifier"

    def __init__(self, network: Classifier, accuracy: float) -> None:
        self._network = network
        self._accuracy = accuracy
        self.weights = hash_of(network)
        self.notes = {"accuracy": round(accuracy, 4), "preprocessing": "none"}

    @classmethod
    def for_data(
        cls, data: Labelled, fingerprint: str, folder: Path, progress: Progress = lambda done, count: None
    ) -> ClassifierFeatures:
        """Of `data`, trained once and kept in `folder` under its fingerprint; damaged files are made anew."""
        path = folder / f"classifier-{VERSION}-{fingerprint}.safetensors"
        try:
            return cls.from_bytes(path.read_bytes())
        except (OSError, ValueError):
            trained = train_classifier(data, progress)
        made = cls(trained.network, trained.accuracy)
        with suppress(OSError), replacing(path) as beside:  # a cache is no reason to fail
            beside.write_bytes(made.to_bytes())
        return made

    def to_bytes(self) -> bytes:
        """All of it, as a safetensors file."""
        spec = self._network.spec.model_dump_json()
        return save(self._network.state_dict(), {"accuracy": repr(self._accuracy), "spec": spec})

    @classmethod
    def from_bytes(cls, data: bytes) -> ClassifierFeatures:
        """What `to_bytes` gave; ValueError for anything else."""
        try:
            length = int.from_bytes(data[:8], "little")
            description = json.loads(data[8 : 8 + length])["__metadata__"]
            network = Classifier(DatasetSpec.model_validate_json(description["spec"]))
            network.load_state_dict(load(data))
            return cls(network.eval().requires_grad_(False), float(description["accuracy"]))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"no classifier: {error}") from None

    @torch.no_grad()
    def embed(self, items: Levels, levels: int) -> Embedded:
        features = self._network.embed(torch.from_numpy(items.astype(np.float32)) / (levels - 1))
        return Embedded(features, self._network.classes(features.relu()))
