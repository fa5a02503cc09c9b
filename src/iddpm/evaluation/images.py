"""Sets of images, drawn from a model or read from data, as statistics that scores are made of; in bounded memory."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import ArrayDataset, Dataset, quantize
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.evaluation.classifier import train_classifier
from iddpm.evaluation.features import ClassifierFeatures, Embedded, FeatureNetwork
from iddpm.evaluation.metrics.inception_score import inception_score
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.scores import SETTINGS, Estimate, Scores, check_count, score_sets
from iddpm.evaluation.statistics import Manifest, Statistics, refuse_other_images
from iddpm.model import Model
from iddpm.networks.unet import NONE
from iddpm.progress import Work
from iddpm.sampling import SamplerOptions, sample_batches

MOST_SAMPLES = 50_000
"""As many as the paper draws; fewer where the reference holds fewer. Of so many images features are kept."""
SMALLEST_NATURAL = 32
"""Pixels: smaller pictures that have classes are shown to a classifier of their own, others to Inception."""


@dataclass(frozen=True)
class ImageSet:
    """`count` images that come in batches.

    images: what they are, for the manifest. rounds: how often `batches` yields; it gives grey levels 0 ... levels - 1,
    `[batch, channels, *size]`, and None after work that has given no image yet.
    """

    images: dict[str, Any]
    spec: DatasetSpec
    count: int
    rounds: int
    batches: Iterator[Levels | None]


def evaluate(samples: Tensor | Dataset, reference: Dataset, network: FeatureNetwork | None = None) -> Scores:
    """How good samples are, against real data; `iddpm evaluate` is the same as a command.

    samples: `[count, channels, *size]` in [-1, 1], as `iddpm.sample` gives them, or a dataset. network: whose features
    are compared; None trains a classifier on the reference's classes. UserError for sets that cannot be compared.
    """
    if isinstance(samples, Tensor):
        if not bool(torch.isfinite(samples).all()):
            raise UserError("samples: some numbers are not finite; look at the model that drew them")
        spec = reference.spec.model_copy(update={"channels": samples.shape[1], "size": tuple(samples.shape[2:])})
        samples = ArrayDataset(spec, quantize(samples, spec.levels))
    sets = [in_levels(images_of_data(each, {}), reference.spec.levels) for each in (samples, reference)]
    for images, what in zip(sets, ("samples", "reference"), strict=True):
        check_count(images.count, what)
    refuse_other_images(sets[0].images, sets[1].images)
    if network is None:
        trained = train_classifier(reference)
        network = ClassifierFeatures(trained.network, trained.accuracy)
    found = [list(collect(images, network))[-1] for images in sets]
    generated, real = (each for each in found if isinstance(each, Statistics))
    *_, scores = score_sets(generated, real)
    assert isinstance(scores, Scores)
    return scores


def default_features(spec: DatasetSpec) -> str:
    """Whose features suit such images."""
    is_natural = len(spec.size) == 2 and min(spec.size) >= SMALLEST_NATURAL
    return "classifier" if spec.class_names and not is_natural else "inception"


def images_of_data(
    dataset: Dataset, what: dict[str, Any], *, count: int | None = None, batch_size: int = 128
) -> ImageSet:
    """`count` items spread evenly over a dataset, all for None; `what`: where it is from."""
    total = len(dataset) if count is None else count
    if not 0 < total <= len(dataset):
        raise UserError(f"--count: {total} images, and {what.get('source', 'the data')} holds {len(dataset)}")
    rows = np.linspace(0, len(dataset) - 1, total).astype(np.int64)
    parts = [rows[start : start + batch_size] for start in range(0, total, batch_size)]
    images = {"kind": "data", **what, "of": len(dataset), **_shape(dataset.spec)}
    return ImageSet(images, dataset.spec, total, len(parts), (dataset.items(part) for part in parts))


def images_of_model(
    model: Model,
    options: SamplerOptions,
    what: dict[str, Any],
    *,
    count: int,
    seed: int,
    given: Mapping[str, Any] = NONE,
    batch_size: int = 128,
    drawn: Sequence[Levels] = (),
) -> ImageSet:
    """`count` samples, drawn as they are asked for; `what`: where the model is from.

    drawn: the first batches, if they have been drawn before.
    UserError, when it happens, for samples that are not finite numbers.
    """
    steps = len(model.diffusion.strided(options.steps).schedule)

    done = sum(map(len, drawn))

    def batches() -> Iterator[Levels | None]:
        yield from drawn
        stream = sample_batches(
            model,
            count,
            options,
            first=done,
            seed=seed,
            given=given,
            batch_size=batch_size,
        )
        for work in stream:
            batch = yield from _pumped(work)
            if not bool(torch.isfinite(batch).all()):
                raise UserError(
                    f"samples: {what['source']} draws images that are not finite numbers; use an older checkpoint"
                )
            yield quantize(batch, model.spec.levels)

    images = {
        "kind": "model",
        **what,
        "weights": model.weights,
        "training step": model.step,
        **options.manifest(),
        "steps": steps,
        "timesteps": list(options.steps) if isinstance(options.steps, tuple) else None,
        "seed": seed,
        "conditions": list(model.conditions),
        "precision": model.precision,
        "device": model.device.type,
        **_shape(model.spec),
    }
    return ImageSet(images, model.spec, count, len(drawn) - (done - count) // batch_size * steps, batches())


def _pumped(work: Work[Tensor]) -> Generator[None, None, Tensor]:
    """Yield None for every progress but the last, and return the batch."""
    before = next(work, None)
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            result: Tensor = stop.value
            return result
        if before is not None:
            yield None
        before = progress


def _shape(spec: DatasetSpec) -> dict[str, Any]:
    return {"channels": spec.channels, "size": list(spec.size), "levels": spec.levels}


def in_levels(images: ImageSet, levels: int) -> ImageSet:
    """The same images in so many grey levels: a folder of pictures has 256 of them, whatever the data had."""
    theirs = images.spec.levels
    if theirs == levels:
        return images
    kind = np.uint8 if levels <= 256 else np.uint16

    def converted() -> Iterator[Levels | None]:
        for batch in images.batches:
            yield (
                None
                if batch is None
                else (batch.astype(np.float64) * ((levels - 1) / (theirs - 1))).round().astype(kind)
            )

    spec = images.spec.model_copy(update={"levels": levels})
    return ImageSet(
        {**images.images, "levels": levels, "made from levels": theirs}, spec, images.count, images.rounds, converted()
    )


def collect(images: ImageSet, network: FeatureNetwork, *, keep_features: bool = True) -> Iterator[int | Statistics]:
    """Look at all images: yields the rounds that are done, and in the end the statistics.

    keep_features: False keeps their moments only, in memory too, and nothing but Frechet distances can be made of them.
    Of more than 50,000 images the features of so many are kept, evenly spread, and the moments are of all.
    """
    sums = _Sums(images.count, keep_features)
    digest = hashlib.sha256()
    for done, batch in enumerate(images.batches, 1):
        if batch is not None:
            digest.update(np.ascontiguousarray(batch).tobytes())
            sums.add(network.embed(batch, images.spec.levels))
        yield done
    manifest = {
        "images": {**images.images, "count": images.count, "content": digest.hexdigest()[:16]},
        "features": network.manifest(),
        "versions": {"iddpm": version("iddpm"), "torch": torch.__version__, "python": platform.python_version()},
    }
    classifier = network.to_bytes() if isinstance(network, ClassifierFeatures) else None
    yield sums.statistics(manifest, classifier)


class _Sums:
    """What is kept of images that have been looked at."""

    def __init__(self, count: int, keep_features: bool) -> None:
        kept = min(count, MOST_SAMPLES) if keep_features else 0
        self._is_kept = torch.zeros(count, dtype=torch.bool)
        self._is_kept[torch.linspace(0, count - 1, kept, dtype=torch.float64).long()] = True
        self._done = 0
        self._features: Tensor | None = None
        self._moments: Moments | None = None
        self._spatial: Moments | None = None
        self._logits: list[Tensor] = []

    def add(self, seen: Embedded) -> None:
        if self._features is None:
            self._features = torch.empty(int(self._is_kept.sum()), seen.features.shape[1])
        before = int(self._is_kept[: self._done].sum())
        kept = seen.features[self._is_kept[self._done : self._done + len(seen.features)]]
        self._features[before : before + len(kept)] = kept
        self._done += len(seen.features)
        self._moments = _sum(self._moments, seen.features)
        if seen.spatial is not None:
            self._spatial = _sum(self._spatial, seen.spatial)
        if seen.logits is not None:
            self._logits.append(seen.logits.float())

    def statistics(self, manifest: Manifest, classifier: bytes | None) -> Statistics:
        assert self._moments is not None
        assert self._features is not None
        inception = inception_score(torch.cat(self._logits)) if self._logits else None
        features = self._features if len(self._features) else None
        return Statistics(manifest, self._moments, features, self._spatial, inception, classifier)


def _sum(so_far: Moments | None, features: Tensor) -> Moments:
    found = Moments.of(features)
    return found if so_far is None else so_far + found


def result_of(scores: Scores, samples: Manifest, reference: Manifest, seed: int) -> dict[str, Any]:
    """All that is known of an evaluation, as JSON: the scores, and both manifests."""
    return {
        "format": 1,
        "scores": {name: _as_json(estimate) for name, estimate in scores.estimates.items()},
        "p_same": scores.p_same,
        "samples": samples,
        "reference": reference,
        "settings": {**SETTINGS, "seed": seed, "errors": "of both sets" if scores.p_same is not None else "of samples"},
    }


def _as_json(estimate: Estimate) -> dict[str, Any]:
    interval = estimate.interval
    spread = {} if estimate.spread is None else {"spread": estimate.spread}
    return {"value": estimate.value, "error": estimate.error, "interval": interval and list(interval), **spread}
