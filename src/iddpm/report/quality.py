"""Scores of a run's samples, and of held-out items in their place."""

from __future__ import annotations

from typing import Any

from iddpm.data import ArrayDataset, Dataset, Splits
from iddpm.data.scaling import Levels
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.evaluation.images import collect, images_of_data
from iddpm.evaluation.results import result_of
from iddpm.evaluation.scores import FEWEST, score_sets
from iddpm.files import cache_folder
from iddpm.progress import Work


def samples_needed(splits: Splits, most: int) -> int:
    """Return how many samples `judge` wants, `most` at most: as many as are held out. 0 if nothing can be judged."""
    if len(splits.spec.class_names) < 2 or min(most, len(splits.train)) < FEWEST:
        return 0
    held_out = 0 if splits.validation is None else len(splits.validation)
    return min(most, held_out) if held_out >= FEWEST else most


def judge(samples: Levels, splits: Splits) -> Work[dict[str, Any]]:
    """Judge samples, and as many held-out items if there are enough of them, against all training items.

    They are compared in the features of a classifier of the data's own classes. Return
    {"samples": result, "held_out": result or None}, see `result_of`.
    """
    network = yield from ClassifierFeatures.for_data(splits.train, splits.fingerprint(), cache_folder())
    sets: dict[str, Dataset] = {"samples": ArrayDataset(splits.spec, samples)}
    count = len(samples)
    if splits.validation is not None and len(splits.validation) >= FEWEST:
        sets["held_out"] = splits.validation
        count = min(count, len(splits.validation))  # distances of different numbers cannot be compared
    real = yield from collect(images_of_data(splits.train, {"source": "training items"}), network)
    results: dict[str, Any] = {"held_out": None}
    for name, dataset in sets.items():
        generated = yield from collect(images_of_data(dataset, {"source": name}, count=count), network)
        quality = yield from score_sets(generated, real)
        results[name] = result_of(quality, generated.manifest, real.manifest)
    return results
