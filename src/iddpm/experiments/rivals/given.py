"""Another model's samples, to be judged beside those of experiments."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from iddpm.config import DataConfig
from iddpm.data import Dataset, open_source
from iddpm.data.dataset import Rows, Splits
from iddpm.errors import UserError
from iddpm.evaluation.images import images_of_data, in_levels
from iddpm.evaluation.scores import FEWEST
from iddpm.experiments.data import spec_of
from iddpm.experiments.experiment import JSON, Measure, Subject
from iddpm.experiments.measures import judged
from iddpm.progress import Progress


@dataclass(frozen=True)
class GivenSamples(Subject):
    """Samples in a folder, a zip or an npz file: `count` of them, evenly, or all if there are fewer.

    fingerprint: of the samples, to notice if they change.
    """

    path: str
    data: DataConfig
    count: int
    fingerprint: str

    def identity(self) -> JSON:
        return {**vars(self), "path": str(Path(self.path).absolute()), "data": self.data.model_dump(mode="json")}

    def make(self, folder: Path) -> Generator[Progress, None, None]:
        yield from ()

    def is_made(self, folder: Path) -> bool:
        return True

    def command(self, folder: Path) -> str | None:
        return None

    def flops(self) -> int:
        return 0

    def images(self) -> Dataset:
        """The samples."""
        found = _read(self.path, spec_of(self.data).channels).train
        return Rows(found, np.linspace(0, len(found) - 1, min(self.count, len(found))).astype(np.int64))


@cache
def _read(path: str, channels: int) -> Splits:
    place = Path(path)
    kind = "folder" if place.is_dir() else place.suffix.removeprefix(".")
    if kind not in ("folder", "zip", "npz"):
        raise UserError(f"--samples: {path} is no folder, zip or npz file; give one of those")
    try:
        shown = channels if channels in (1, 3) and kind != "npz" else None
        return open_source(DataConfig(source=f"{kind}:{path}", validation=0.0, channels=shown))
    except UserError as error:
        trouble = re.sub(r"^data\.\w+: |; (use e\.g\.|name other images).*", "", str(error))
        raise UserError(f"--samples: {trouble}; give images of the data's size") from None


def given_samples(path: str, data: DataConfig, count: int) -> GivenSamples:
    """The samples at `path`; UserError where they cannot be judged beside the data's."""
    spec = spec_of(data)
    found = _read(path, spec.channels)
    if found.spec.shape != spec.shape:
        shapes = ["x".join(map(str, (*each.size, each.channels))) for each in (found.spec, spec)]
        raise UserError(f"--samples: {path} has images of {shapes[0]}, and the data of {shapes[1]}; give such as those")
    if len(found.train) < FEWEST:
        raise UserError(f"--samples: {path} has {len(found.train)} images, and scores need {FEWEST}; give more")
    return GivenSamples(path, data, count, found.fingerprint())


@dataclass(frozen=True)
class JudgedGiven(Measure):
    """Scores of samples that were given."""

    compares_features = True

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, GivenSamples)
        images = in_levels(images_of_data(subject.images(), {"source": subject.path}), spec_of(subject.data).levels)
        return (yield from judged(images, subject.data, shared, whole=True))
