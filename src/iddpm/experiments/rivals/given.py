"""Another model's samples, to be judged beside those of experiments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from iddpm.config import DataConfig
from iddpm.data import Dataset, open_source
from iddpm.data.dataset import Rows, Splits
from iddpm.data.opening import heeded
from iddpm.errors import UserError
from iddpm.evaluation.images import images_of_data, in_levels
from iddpm.evaluation.scores import FEWEST
from iddpm.experiments.data import spec_of
from iddpm.experiments.experiment import JSON, Measure, Subject
from iddpm.experiments.measures import judged
from iddpm.progress import Work, ready

ALIKE = "give images of the data's size"


@dataclass(frozen=True)
class GivenSamples(Subject):
    """Samples in a folder, a zip or an npz file: `count` of them, evenly, or all if there are fewer.

    fingerprint: the samples', to notice if they change.
    """

    path: str
    data: DataConfig
    count: int
    fingerprint: str

    def identity(self) -> JSON:
        return {**vars(self), "path": str(Path(self.path).absolute()), "data": self.data.model_dump(mode="json")}

    def make(self, folder: Path) -> Work[None]:
        return ready(None)

    def is_made(self, folder: Path) -> bool:
        return True

    def flops(self) -> int:
        return 0

    def images(self) -> Dataset:
        """Return the samples."""
        samples = _read(self.path, spec_of(self.data).channels).train
        rows = np.linspace(0, len(samples) - 1, min(self.count, len(samples))).astype(np.int64)
        return Rows(samples, rows)


@cache
def _read(path: str, channels: int) -> Splits:
    try:
        return open_source(heeded(DataConfig(source=path, validation=0.0, channels=channels)))
    except UserError as error:
        raise UserError(error.what, field="samples", way=ALIKE) from None


def given_samples(path: str, data: DataConfig, count: int) -> GivenSamples:
    """Return the samples at `path`; UserError if they cannot be judged beside the data's."""
    spec = spec_of(data)
    samples = _read(path, spec.channels)
    if samples.spec.shape != spec.shape:
        theirs, ours = ("x".join(map(str, (*form.size, form.channels))) for form in (samples.spec, spec))
        raise UserError(f"{path} has images of {theirs}, and the data of {ours}", field="samples", way=ALIKE)
    if len(samples.train) < FEWEST:
        what = f"{path} has {len(samples.train)} images, and scores need {FEWEST}"
        raise UserError(what, field="samples", way="give more")
    return GivenSamples(path, data, count, samples.fingerprint())


@dataclass(frozen=True)
class JudgedGiven(Measure[GivenSamples]):
    """Scores of samples that were given."""

    compares_features = True

    def take(self, subject: GivenSamples, folder: Path, shared: Path) -> Work[JSON]:
        images = in_levels(images_of_data(subject.images(), {"source": subject.path}), spec_of(subject.data).levels)
        return judged(images, subject.data, shared, whole=True)
