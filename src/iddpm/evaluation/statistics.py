"""What scores need of a set of images, in a file: its features' moments, the features, and where they come from."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.errors import UserError
from iddpm.evaluation.moments import Moments
from iddpm.files import replacing

FORMAT = 1
MUST_AGREE = ("features", "weights", "size", "channels")
"""Of two manifests, for a score between their sets to mean anything."""


@dataclass(frozen=True)
class Statistics:
    """Of one set of images. manifest: how they were made (JSON values); features: `[n, d]`, or None if not kept."""

    manifest: dict[str, Any]
    moments: Moments
    features: Tensor | None

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
                count = int(arrays["count"])
                mean, covariance = (torch.from_numpy(arrays[name].astype(np.float64)) for name in ("mu", "sigma"))
                features = torch.from_numpy(arrays["features"]) if "features" in arrays.files else None
        except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"reference: {path} is no file of statistics, or a damaged one ({error}); make one with iddpm reference"
            ) from None
        if manifest.pop("format", None) != FORMAT:
            raise UserError(f"reference: {path} is of another version of iddpm; make one with iddpm reference")
        return cls(manifest, Moments(count, mean, covariance * (count - 1)), features)

    def refuse_other(self, other: Statistics, what: str, path: str) -> None:
        """UserError where the two sets cannot be compared, with the first reason."""
        for name in MUST_AGREE:
            ours, theirs = self.manifest.get(name), other.manifest.get(name)
            if ours != theirs:
                raise UserError(f"{what}: {path} has {name} {theirs}, and the samples {ours}; both must be the same")
