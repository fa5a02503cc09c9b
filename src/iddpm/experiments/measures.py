"""Measures of diffusion models: bits/dim, the terms of the bound, and Frechet distances."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from iddpm.acceleration import choose_device
from iddpm.config import DataConfig
from iddpm.data import Dataset
from iddpm.data.dataset import Rows
from iddpm.data.places import Places
from iddpm.data.sources.photos import Crops
from iddpm.errors import UserError
from iddpm.evaluation.features import ClassifierFeatures, FeatureNetwork
from iddpm.evaluation.images import ImageSet, collect, default_features, images_of_data, images_of_model
from iddpm.evaluation.pretrained import open_pretrained
from iddpm.evaluation.scores import distance, score_sets
from iddpm.evaluation.statistics import Statistics
from iddpm.experiments.data import fingerprint, held_out_of, opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Measure, digest
from iddpm.experiments.store import claimed
from iddpm.names import READINGS
from iddpm.progress import Progress, Work
from iddpm.sampling import SamplerOptions
from iddpm.scoring.budget import estimating
from iddpm.scoring.whole import ScoringOptions, scoring
from iddpm.versions import VERSIONS

SHORT = 250
"""The most steps of a chain that is scored whole: estimating its bound takes as long."""
REFERENCE = 10_000
"""The most training images that samples are compared with, unless more samples are drawn."""


@dataclass(frozen=True)
class Bits(Measure[DiffusionRun]):
    """Bits/dim of the whole chain on held-out items, of a long one estimated to within `error` (`scoring.budget`).

    variance: another reading of the network. step: of an earlier checkpoint. clip: bound predictions of x_0; training
    does not.
    """

    count: int
    error: float
    variance: str | None = None
    step: int | None = None
    clip: bool = True

    def take(self, subject: DiffusionRun, folder: Path, shared: Path) -> Work[JSON]:
        model = subject.model(folder, step=self.step)
        held_out = held_out_of(subject.config.data)
        count = min(self.count, len(held_out))
        reading = None if self.variance is None else READINGS[self.variance]()
        options = ScoringOptions(count, subject.seed, self.clip, reading, batch_size=128)
        if len(model.diffusion.schedule) <= SHORT:
            total = (yield from scoring(model, held_out, model.diffusion, options)).total
            return {"bits": total.mean, "error": total.error, "items": count}
        options = ScoringOptions(count, subject.seed, self.clip, reading, batch_size=256)
        estimate = yield from estimating(model, held_out, model.diffusion, options, error=self.error)
        return {
            "bits": estimate.mean,
            "half_width": estimate.half_width,
            "items": count,
            "evaluations": estimate.evaluations,
        }


@dataclass(frozen=True)
class Terms(Measure[DiffusionRun]):
    """Every term of the whole chain's bound on held-out items."""

    count: int

    def take(self, subject: DiffusionRun, folder: Path, shared: Path) -> Work[JSON]:
        model = subject.model(folder)
        held_out = held_out_of(subject.config.data)
        options = ScoringOptions(min(self.count, len(held_out)), subject.seed, batch_size=128)
        score = yield from scoring(model, held_out, model.diffusion, options)
        return {
            "terms": score.terms,
            "term_errors": score.term_errors,
            "timesteps": score.timesteps,
            "prior": score.prior.mean,
            "bits": score.total.mean,
            "items": score.count,
        }


@dataclass(frozen=True)
class Judged(Measure[DiffusionRun]):
    """FD of samples against training images with its standard error, and all other scores if `whole`.

    steps: a stride, or timesteps; None takes the whole chain. variance: another reading of the network. step: of an
    earlier checkpoint.
    """

    count: int
    steps: str | tuple[int, ...] | None = None
    whole: bool = False
    sampler: str = "ancestral"
    variance: str | None = None
    step: int | None = None
    compares_features = True

    def take(self, subject: DiffusionRun, folder: Path, shared: Path) -> Work[JSON]:
        model = subject.model(folder, step=self.step)
        reading = None if self.variance is None else READINGS[self.variance]()
        options = SamplerOptions(self.steps, self.sampler, reading=reading)
        images = images_of_model(model, options, {"source": str(folder)}, count=self.count, seed=subject.seed)
        return judged(images, subject.config.data, shared, whole=self.whole)


def judged(images: ImageSet, data: DataConfig, shared: Path, *, whole: bool) -> Work[JSON]:
    """Score any images against the data's training images: by FD, and if `whole` by all other scores too."""
    network, real = yield from _reference(data, shared, max(REFERENCE, images.count))
    drawn = yield from collect(images, network)
    if not whole:
        return {"frechet": asdict((yield from distance(drawn, real))), "count": images.count}
    quality = yield from score_sets(drawn, real)
    return {name: asdict(score) for name, score in quality.scores.items()} | {"count": images.count}


def _reference(data: DataConfig, shared: Path, count: int) -> Work[tuple[FeatureNetwork, Statistics]]:
    """Return what samples are compared with, at most `count` images, in features that suit the data; made once."""
    path = shared / f"reference-{digest([data.model_dump(), fingerprint(data), count, VERSIONS['classifier']])}.npz"
    while not path.exists():  # one process makes it, and others wait
        with claimed(shared) as is_ours:
            if is_ours and not path.exists():
                yield from _make_reference(data, path, count)
        if not path.exists():
            yield Progress("waiting for the reference", 0, 1)
            time.sleep(1.0)
    statistics = Statistics.load(path)
    classifier = statistics.network
    return (_pretrained() if classifier is None else ClassifierFeatures.from_bytes(classifier)), statistics


def _make_reference(data: DataConfig, path: Path, count: int) -> Work[None]:
    train: Dataset = opened(data).train
    if isinstance(train, Crops):
        train = Places(train)
    if _has_own_classifier(train):
        network: FeatureNetwork = yield from ClassifierFeatures.trained_on(train)
    else:
        network = _pretrained()
    rows = np.linspace(0, len(train) - 1, min(count, len(train))).astype(np.int64)
    images = images_of_data(Rows(train, rows), {"source": data.source, "split": "train"})
    statistics = yield from collect(images, network)
    statistics.save(path)


def check_features(data: DataConfig) -> None:
    """Raise UserError if the network whose features suit the data is not available: to be asked before any work."""
    if not _has_own_classifier(opened(data).train):
        try:
            _pretrained()
        except UserError as error:
            way = "use: pip install 'iddpm[evaluation]', or give data with classes, e.g. a folder's sub-folders"
            raise UserError(error.what, field="data.source", way=way) from None


def _has_own_classifier(train: Dataset) -> bool:
    """Return whether a classifier of the data itself is trained, rather than Inception's features taken."""
    return isinstance(train, Crops | Places) or default_features(train.spec) == "classifier"


def _pretrained() -> FeatureNetwork:
    return open_pretrained("inception", None, choose_device("auto"))
