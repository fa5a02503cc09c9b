"""What scores need of a set of images, in a file: its features' moments, the features, and where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.errors import UserError
from iddpm.evaluation.metrics.inception_score import InceptionScore
from iddpm.evaluation.metrics.moments import Moments
from iddpm.files import NOT_SUCH_ARRAYS, replacing

FORMAT = 2
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Statistics:
    """Of one set of images.

    manifest:  what the images are and how they were made ("images"), and the network that saw them ("features").
    moments:   of the features. spatial: of those that keep places, where the network has such.
    features:  `[n, d]`, or None if they were not kept. inception: the score of the set on its own.
    network:   the classifier whose features these are, so that other images can be looked at in the same way.
    """

    manifest: Manifest
    moments: Moments
    features: Tensor | None
    spatial: Moments | None = None
    inception: InceptionScore | None = None
    network: bytes | None = None

    def save(self, path: Path) -> None:
        """As an npz file: `mu` and `sigma` as other programs have them, and the rest beside them."""
        arrays = {
            "mu": self.moments.mean.numpy(),
            "sigma": self.moments.covariance.numpy(),
            "count": np.array(self.moments.count),
            "manifest": np.array(json.dumps({"format": FORMAT, **self.manifest})),
        }
        if self.features is not None:
            arrays["features"] = self.features.numpy()
        if self.spatial is not None:
            arrays["spatial_mu"] = self.spatial.mean.numpy()
            arrays["spatial_sigma"] = self.spatial.covariance.numpy()
        if self.inception is not None:
            arrays["inception"] = np.array([self.inception.mean, self.inception.spread])
        if self.network is not None:
            arrays["network"] = np.frombuffer(self.network, dtype=np.uint8)
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """UserError for a file that is damaged or something else."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if "manifest" not in arrays.files:
                    raise UserError(
                        f"reference: {path} does not say which features it holds; make one with iddpm reference"
                    )
                manifest = json.loads(str(arrays["manifest"]))
                if manifest.pop("format", None) != FORMAT:
                    raise UserError(f"reference: {path} is of another version of iddpm; make one with iddpm reference")
                count = int(arrays["count"])
                found = {name: arrays[name] for name in arrays.files if name not in ("manifest", "count")}
            return cls(
                manifest,
                _moments(count, found, ""),
                torch.from_numpy(found["features"]) if "features" in found else None,
                _moments(count, found, "spatial_") if "spatial_mu" in found else None,
                InceptionScore(*map(float, found["inception"])) if "inception" in found else None,
                found["network"].tobytes() if "network" in found else None,
            )
        except NOT_SUCH_ARRAYS as error:
            raise UserError(
                f"reference: {path} is no file of statistics, or a damaged one ({error}); make one with iddpm reference"
            ) from None


def _moments(count: int, arrays: dict[str, Any], prefix: str) -> Moments:
    mean, covariance = (torch.from_numpy(arrays[prefix + name].astype(np.float64)) for name in ("mu", "sigma"))
    return Moments(count, mean, covariance * (count - 1))


def is_statistics(path: Path) -> bool:
    """Whether an npz file holds statistics (ours or another program's) rather than images."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return "manifest" in arrays.files or {"mu", "sigma"} <= set(arrays.files)
    except NOT_SUCH_ARRAYS:
        return False


CONVERTED = (
    "both must be the same: --size and --channels convert pictures, --channels-first reads arrays of [items, channels,"
    " ...]"
)


def refuse_other_images(samples: dict[str, Any], reference: dict[str, Any], way: str = CONVERTED) -> None:
    """UserError, with the way out, where images of two kinds (the "images" of two manifests) cannot be compared."""
    shapes = ["x".join(map(str, [*images["size"], images["channels"]])) for images in (samples, reference)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"reference: its images are {shapes[1]} (size and channels), and the samples {shapes[0]}; {way}"
        )


def refuse_other_features(samples: Manifest, reference: Manifest) -> None:
    """UserError where two sets were seen by different networks."""
    for name in ("name", "weights"):
        ours, theirs = samples["features"][name], reference["features"][name]
        if ours != theirs:
            what = "features are" if name == "name" else f"features ({samples['features']['name']}) have the weights"
            raise UserError(f"reference: its {what} {theirs}, and the samples' {ours}; both must be the same")
