"""Sets of images, drawn from a model or read from data, as statistics that scores are made of; in bounded memory."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import ArrayDataset, Dataset, quantize
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.evaluation.features import ClassifierFeatures, Embedded, FeatureNetwork
from iddpm.evaluation.metrics.inception_score import inception_score
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.scores import SampleQuality, check_count, score_sets
from iddpm.evaluation.statistics import Manifest, Statistics, refuse_other_images
from iddpm.model import Model
from iddpm.networks.unet import NONE
from iddpm.progress import Progress, Work, finish, ready
from iddpm.sampling import SamplerOptions, sample_batches

MOST_SAMPLES = 50_000
"""The number that the paper draws; fewer if the reference holds fewer. The features of at most so many are kept."""
SMALLEST_NATURAL = 32
"""Pixels: smaller pictures that have classes are shown to a classifier of their own, others to Inception."""


@dataclass(frozen=True)
class ImageSet:
    """A set of `count` images that come in batches.

    images: what they are, for the manifest. batches: the work of making one batch after another, grey levels
    0 ... levels - 1, `[batch, channels, *size]`.
    """

    images: dict[str, Any]
    spec: DatasetSpec
    count: int
    batches: Iterator[Work[Levels]]


def evaluate(samples: Tensor | Dataset, reference: Dataset, network: FeatureNetwork | None = None) -> SampleQuality:
    """Judge samples against real data, as `iddpm evaluate` does.

    samples: `[count, channels, *size]` in [-1, 1], as `iddpm.sample` gives them, or a dataset. network: whose features
    are compared; None trains a classifier on the reference's classes. UserError for sets that cannot be compared.
    """
    if isinstance(samples, Tensor):
        if not bool(torch.isfinite(samples).all()):
            raise UserError("some numbers are not finite", field="samples", way="look at the model that drew them")
        spec = reference.spec.model_copy(update={"channels": samples.shape[1], "size": tuple(samples.shape[2:])})
        samples = ArrayDataset(spec, quantize(samples, spec.levels))
    generated, real = (in_levels(images_of_data(data, {}), reference.spec.levels) for data in (samples, reference))
    check_count(generated.count, "samples")
    check_count(real.count, "reference")
    refuse_other_images(generated.images, real.images)
    if network is None:
        network = finish(ClassifierFeatures.trained_on(reference))
    return finish(score_sets(finish(collect(generated, network)), finish(collect(real, network))))


def default_features(spec: DatasetSpec) -> str:
    """Return the name of the features that suit such images."""
    is_natural = len(spec.size) == 2 and min(spec.size) >= SMALLEST_NATURAL
    return "classifier" if spec.class_names and not is_natural else "inception"


def images_of_data(
    dataset: Dataset, what: dict[str, Any], *, count: int | None = None, batch_size: int = 128
) -> ImageSet:
    """Return `count` items spread evenly over a dataset, all for None. what: where it is from."""
    source, total = what.get("source", "the data"), len(dataset) if count is None else count
    if not 0 < total <= len(dataset):
        raise UserError(f"must be 1 ... {len(dataset)}, the images of {source}", field="count", value=total)
    rows = np.linspace(0, len(dataset) - 1, total).astype(np.int64)

    def batch(start: int) -> Work[Levels]:
        items = dataset.items(rows[start : start + batch_size])
        yield Progress(f"looking at {total:,} images of {source}", start + len(items), total)
        return items

    images = {"kind": "data", **what, "of": len(dataset), **_shape(dataset.spec)}
    return ImageSet(images, dataset.spec, total, map(batch, range(0, total, batch_size)))


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
    """Return `count` samples, drawn as they are asked for. what: where the model is from.

    drawn: the first batches, if they have been drawn before. Drawing raises UserError for samples that are not finite.
    """
    first = sum(map(len, drawn))

    def batches() -> Iterator[Work[Levels]]:
        yield from map(ready, drawn)
        stream = sample_batches(model, count, options, first=first, seed=seed, given=given, batch_size=batch_size)
        yield from (_in_levels(work, what["source"], model.spec.levels) for work in stream)

    images = {
        "kind": "model",
        **what,
        "weights": model.weights,
        "training step": model.step,
        **options.manifest(),
        "steps": len(model.diffusion.strided(options.steps).schedule),
        "timesteps": list(options.steps) if isinstance(options.steps, tuple) else None,
        "seed": seed,
        "conditions": list(model.conditions),
        "precision": model.precision,
        "device": model.device.type,
        **_shape(model.spec),
    }
    return ImageSet(images, model.spec, count, batches())


def _in_levels(work: Work[Tensor], source: str, levels: int) -> Work[Levels]:
    batch = yield from work
    if not bool(torch.isfinite(batch).all()):
        raise UserError(
            f"{source} draws images that are not finite numbers", field="samples", way="use an older checkpoint"
        )
    return quantize(batch, levels)


def _shape(spec: DatasetSpec) -> dict[str, Any]:
    return {"channels": spec.channels, "size": list(spec.size), "levels": spec.levels}


def in_levels(images: ImageSet, levels: int) -> ImageSet:
    """Return the same images in so many grey levels: a folder of pictures has 256 of them, whatever the data had."""
    theirs = images.spec.levels
    if theirs == levels:
        return images

    def converted(work: Work[Levels]) -> Work[Levels]:
        items = yield from work
        converted: Levels = (items.astype(np.float64) * ((levels - 1) / (theirs - 1))).round().astype(kind)
        return converted

    kind = np.uint8 if levels <= 256 else np.uint16
    spec = images.spec.model_copy(update={"levels": levels})
    manifest = {**images.images, "levels": levels, "made from levels": theirs}
    return replace(images, images=manifest, spec=spec, batches=map(converted, images.batches))


def collect(images: ImageSet, network: FeatureNetwork, *, keep_features: bool = True) -> Work[Statistics]:
    """Look at all images and return their statistics.

    keep_features: False keeps their moments only, in memory too, and nothing but Frechet distances can be made of them.
    Of more than 50,000 images the features of so many are kept, evenly spread, and the moments are of all.
    """
    sums = _Sums(images.count, keep_features)
    digest = hashlib.sha256()
    for work in images.batches:
        items = yield from work
        digest.update(np.ascontiguousarray(items).tobytes())
        sums.add(network.embed(items, images.spec.levels))
    manifest = {
        "images": {**images.images, "count": images.count, "content": digest.hexdigest()[:16]},
        "features": network.manifest(),
        "versions": {"iddpm": version("iddpm"), "torch": torch.__version__, "python": platform.python_version()},
    }
    classifier = network.to_bytes() if isinstance(network, ClassifierFeatures) else None
    return sums.statistics(manifest, classifier)


class _Sums:
    """The sums of what is kept of images that have been looked at."""

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
        return Statistics(self._moments, features, self._spatial, inception, manifest, classifier)


def _sum(moments: Moments | None, features: Tensor) -> Moments:
    return Moments.of(features) if moments is None else moments + Moments.of(features)
