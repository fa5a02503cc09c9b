"""Features of images: the vectors that scores compare, and the network that they come from."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import Dataset
from iddpm.data.scaling import Levels
from iddpm.evaluation.classifier import Classifier, train_classifier
from iddpm.files import replacing
from iddpm.networks.hashing import hash_of
from iddpm.progress import Work
from iddpm.versions import VERSIONS


@dataclass(frozen=True)
class Embedded:
    """A batch as a network sees it.

    features: `[n, d]`. logits: `[n, classes]`, if the network has classes. spatial: `[n, s]`, if it has features that
    keep their place in the image.
    """

    features: Tensor
    logits: Tensor | None = None
    spatial: Tensor | None = None


class FeatureNetwork(ABC):
    """A network from grey levels to features.

    name: as users say it. weights: a hash of the weights, which tells whether two results are of the same features.
    notes: whatever else a reader of a result wants to know of the network (JSON values).
    """

    name: str
    weights: str
    notes: dict[str, Any]

    @abstractmethod
    def embed(self, items: Levels, levels: int) -> Embedded:
        """Return the features of grey levels 0 ... levels - 1, `[n, channels, *size]`."""

    def manifest(self) -> dict[str, Any]:
        """Return what a result says of its features."""
        return {"name": self.name, "weights": self.weights, **self.notes}


class ClassifierFeatures(FeatureNetwork):
    """Features of a small classifier of the data's own labels, for data unlike what public networks were trained on."""

    name = "classifier"

    def __init__(self, network: Classifier, accuracy: float) -> None:
        self._network = network
        self._accuracy = accuracy
        self.weights = hash_of(network)
        self.notes = {"accuracy": round(accuracy, 4), "preprocessing": "none"}

    @classmethod
    def trained_on(cls, data: Dataset) -> Work[ClassifierFeatures]:
        """Train a classifier of the data's classes; UserError if it has none."""
        return cls(*(yield from train_classifier(data)))

    @classmethod
    def for_data(cls, data: Dataset, fingerprint: str, folder: Path) -> Work[ClassifierFeatures]:
        """Read the classifier that `folder` holds for data of this fingerprint; train and keep it if there is none."""
        path = folder / f"classifier-{VERSIONS['classifier']}-{fingerprint}.safetensors"
        with suppress(OSError, ValueError):  # none yet, or a damaged one
            return cls.from_bytes(path.read_bytes())
        features = yield from cls.trained_on(data)
        with suppress(OSError), replacing(path) as beside:  # a cache is no reason to fail
            beside.write_bytes(features.to_bytes())
        return features

    def to_bytes(self) -> bytes:
        """Return all of it as a safetensors file."""
        spec = self._network.spec.model_dump_json()
        return save(self._network.state_dict(), {"accuracy": repr(self._accuracy), "spec": spec})

    @classmethod
    def from_bytes(cls, data: bytes) -> ClassifierFeatures:
        """Read what `to_bytes` returned; ValueError for anything else."""
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
