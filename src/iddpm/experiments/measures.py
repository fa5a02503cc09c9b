"""What experiments measure of diffusion models: bits/dim, the terms of the bound, and Frechet distances."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from iddpm.config import DataConfig
from iddpm.data import Dataset
from iddpm.data.dataset import Rows
from iddpm.data.places import Places
from iddpm.data.sources.photos import Crops
from iddpm.diffusion.readings import Reading
from iddpm.evaluation.classifier import VERSION as CLASSIFIER
from iddpm.evaluation.features import ClassifierFeatures, FeatureNetwork
from iddpm.evaluation.images import ImageSet, collect, default_features, images_of_data, images_of_model
from iddpm.evaluation.scores import distance, score_sets
from iddpm.evaluation.statistics import Statistics
from iddpm.experiments.data import fingerprint, opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import JSON, Measure, Subject, digest
from iddpm.experiments.store import claimed
from iddpm.model import Model
from iddpm.names import READINGS
from iddpm.progress import Progress, Work
from iddpm.sampling import SamplerOptions
from iddpm.scoring.budget import estimating
from iddpm.scoring.whole import LikelihoodScore, ScoringOptions, scoring

SHORT = 250
"""Steps of a chain that is taken whole: estimating its bound takes as long."""
REFERENCE = 10_000
"""Training images that samples are compared with, at most; more where more samples are drawn."""

T = TypeVar("T")


@dataclass(frozen=True)
class Bits(Measure):
    """Bits/dim of the whole chain on held-out items, of a long one estimated to within `error` (see `estimation`).

    clip: bound predictions of x_0; training does not.
    """

    count: int
    error: float
    variance: str | None = None
    step: int | None = None
    clip: bool = True

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, DiffusionRun)
        model = subject.model(folder, step=self.step)
        held_out = opened(subject.config.data).validation
        assert held_out is not None
        count = min(self.count, len(held_out))
        reading = None if self.variance is None else READINGS[self.variance]()
        seed, clip = subject.seed, self.clip
        if len(model.diffusion.schedule) <= SHORT:
            score = yield from scored(model, held_out, count=count, seed=seed, clip=clip, reading=reading)
            return {"bits": score.total.mean, "error": score.total.error, "items": count}
        options = ScoringOptions(count, seed, clip, reading, batch_size=256)
        work = estimating(model, held_out, model.diffusion, options, error=self.error)
        found = yield from _told(work)
        return {"bits": found.mean, "half_width": found.half_width, "items": count, "evaluations": found.evaluations}


@dataclass(frozen=True)
class Terms(Measure):
    """Every term of the whole chain's bound on held-out items."""

    count: int

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, DiffusionRun)
        model = subject.model(folder)
        held_out = opened(subject.config.data).validation
        assert held_out is not None
        count = min(self.count, len(held_out))
        score = yield from scored(model, held_out, count=count, seed=subject.seed)
        return {
            "terms": score.terms,
            "term_errors": score.term_errors,
            "timesteps": score.timesteps,
            "prior": score.prior.mean,
            "bits": score.total.mean,
            "items": count,
        }


def scored(
    model: Model,
    held_out: Dataset,
    *,
    count: int,
    seed: int,
    clip: bool = True,
    reading: Reading | None = None,
) -> Generator[Progress, None, LikelihoodScore]:
    """The whole bound, term by term."""
    options = ScoringOptions(count, seed, clip, reading, batch_size=128)
    return (yield from _told(scoring(model, held_out, model.diffusion, options)))


def _told(work: Work[T]) -> Generator[Progress, None, T]:
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield Progress(progress.what, progress.done, progress.total)


@dataclass(frozen=True)
class Judged(Measure):
    """FD of samples against training images with its standard error, and if `whole` all other scores too.

    steps: a stride, or timesteps; None takes the whole chain.
    """

    count: int
    steps: str | tuple[int, ...] | None = None
    whole: bool = False
    sampler: str = "ancestral"
    variance: str | None = None
    step: int | None = None
    compares_features = True

    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        assert isinstance(subject, DiffusionRun)
        model = subject.model(folder, step=self.step)
        reading = None if self.variance is None else READINGS[self.variance]()
        options = SamplerOptions(self.steps, self.sampler, reading=reading)
        images = images_of_model(model, options, {"source": str(folder)}, count=self.count, seed=subject.seed)
        return (yield from judged(images, subject.config.data, shared, whole=self.whole))


def judged(images: ImageSet, data: DataConfig, shared: Path, *, whole: bool) -> Generator[Progress, None, JSON]:
    """FD of any images against the data's training images, and if `whole` all other scores too."""
    network, real = yield from reference(data, shared, max(REFERENCE, images.count))
    drawn = yield from collect(images, network)
    if not whole:
        return {"frechet": asdict((yield from distance(drawn, real))), "count": images.count}
    quality = yield from score_sets(drawn, real)
    return {name: asdict(score) for name, score in quality.scores.items()} | {"count": images.count}


def reference(
    data: DataConfig, shared: Path, count: int
) -> Generator[Progress, None, tuple[FeatureNetwork, Statistics]]:
    """What samples are compared with, at most `count` images, in features that suit the data: made once, then read."""
    path = shared / f"reference-{digest([data.model_dump(), fingerprint(data), count, CLASSIFIER])}.npz"
    while not path.exists():  # one process makes it, and others wait
        with claimed(shared) as is_ours:
            if is_ours and not path.exists():
                yield from _make_reference(data, path, count)
        if not path.exists():
            yield Progress("waiting for the reference", 0, 1)
            time.sleep(1.0)
    known = Statistics.load(path)
    return (_pretrained() if known.network is None else ClassifierFeatures.from_bytes(known.network)), known


def _make_reference(data: DataConfig, path: Path, count: int) -> Generator[Progress, None, None]:
    train: Dataset = opened(data).train
    if isinstance(train, Crops):
        train = Places(train)
    if _own_classifier(train):
        network: FeatureNetwork = yield from ClassifierFeatures.trained_on(train)
    else:
        network = _pretrained()
    rows = np.linspace(0, len(train) - 1, min(count, len(train))).astype(np.int64)
    images = images_of_data(Rows(train, rows), {"source": data.source, "split": "train"})
    statistics = yield from collect(images, network)
    statistics.save(path)


def check_features(data: DataConfig) -> None:
    """UserError where the network whose features suit the data cannot be had: to be asked before any work."""
    if not _own_classifier(opened(data).train):
        _pretrained()


def _own_classifier(train: Dataset) -> bool:
    """Whether a classifier of the data itself is trained, rather than Inception's features taken."""
    return isinstance(train, Crops | Places) or default_features(train.spec) == "classifier"


def _pretrained() -> FeatureNetwork:
    from iddpm.acceleration import choose_device
    from iddpm.evaluation.pretrained import open_pretrained

    return open_pretrained("inception", None, choose_device("auto"))
