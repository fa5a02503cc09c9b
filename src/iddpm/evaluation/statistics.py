"""The file of a set of images that scores need: moments of its features, the features, and where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iddpm.errors import Setting, Text, UserError
from iddpm.evaluation.metrics.metric import FeatureSet, QualityScore
from iddpm.evaluation.metrics.moments import Moments
from iddpm.files import array_names, read_arrays, replacing
from iddpm.versions import VERSIONS

CONVERTED: Text = (
    *("both must be the same: ", Setting("data.size"), " and ", Setting("data.channels"), " convert pictures, "),
    *(Setting("data.channels_first"), " reads arrays of [items, channels, ...]"),
)
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Statistics(FeatureSet):
    """The features of a set of images, and where the images come from.

    manifest: what the images are and how they were made ("images"), and the network that saw them ("features").
    network:  the classifier whose features these are, so that other images can be looked at in the same way.
    """

    manifest: Manifest = field(default_factory=dict)
    network: bytes | None = None

    def save(self, path: Path) -> None:
        """Write an npz file: `mu` and `sigma` as other programs have them, and the rest beside them."""
        arrays = {
            "mu": self.moments.mean.numpy(),
            "sigma": self.moments.covariance.numpy(),
            "count": np.array(self.moments.count),
            "manifest": np.array(json.dumps({"format": VERSIONS["statistics"], **self.manifest})),
        }
        if self.features is not None:
            arrays["features"] = self.features.numpy()
        if self.spatial is not None:
            arrays["spatial_mu"] = self.spatial.mean.numpy()
            arrays["spatial_sigma"] = self.spatial.covariance.numpy()
        if self.inception is not None:
            arrays["inception"] = np.array([self.inception.value, self.inception.spread])
        if self.network is not None:
            arrays["network"] = np.frombuffer(self.network, dtype=np.uint8)
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """Read a file that `save` wrote; UserError for one that is damaged or something else."""
        try:
            arrays = read_arrays(path)
            manifest = json.loads(str(arrays.get("manifest", "null")))
        except ValueError as error:
            raise _mistake(f"{path} is no file of statistics, or a damaged one ({error})") from None
        if not isinstance(manifest, dict):
            raise _mistake(f"{path} does not say which features it holds")
        if manifest.pop("format", None) != VERSIONS["statistics"]:
            raise _mistake(f"{path} is of another version of iddpm")
        if missing := {"mu", "sigma", "count"} - arrays.keys():
            raise _mistake(f"{path} is damaged: it has no {', '.join(sorted(missing))}")

        def moments(prefix: str) -> Moments:
            mean, covariance = (torch.from_numpy(arrays[prefix + name].astype(np.float64)) for name in ("mu", "sigma"))
            return Moments(count, mean, covariance * (count - 1))

        count = int(arrays["count"])
        inception = arrays["inception"].tolist() if "inception" in arrays else None
        return cls(
            moments=moments(""),
            features=torch.from_numpy(arrays["features"]) if "features" in arrays else None,
            spatial=moments("spatial_") if "spatial_mu" in arrays else None,
            inception=None if inception is None else QualityScore(inception[0], spread=inception[1]),
            manifest=manifest,
            network=arrays["network"].tobytes() if "network" in arrays else None,
        )


def _mistake(what: str) -> UserError:
    return UserError(what, field="reference", way="make one with iddpm reference")


def is_statistics(path: Path) -> bool:
    """Return whether an npz file holds statistics (ours or another program's) rather than images."""
    try:
        names = array_names(path)
    except ValueError:
        return False
    return "manifest" in names or {"mu", "sigma"} <= names


def refuse_other_images(samples: dict[str, Any], reference: dict[str, Any], way: Text = CONVERTED) -> None:
    """Raise UserError, with the way out, if the "images" of two manifests are of kinds that cannot be compared."""
    shapes = ["x".join(map(str, [*images["size"], images["channels"]])) for images in (samples, reference)]
    if shapes[0] != shapes[1]:
        what = f"its images are {shapes[1]} (size and channels), and the samples {shapes[0]}"
        raise UserError(what, field="reference", way=way)


def refuse_other_features(samples: Manifest, reference: Manifest) -> None:
    """Raise UserError if two sets were seen by different networks."""
    for name in ("name", "weights"):
        ours, theirs = samples["features"][name], reference["features"][name]
        if ours != theirs:
            what = "features are" if name == "name" else f"features ({samples['features']['name']}) have the weights"
            what = f"its {what} {theirs}, and the samples' {ours}"
            raise UserError(what, field="reference", way="both must be the same")
