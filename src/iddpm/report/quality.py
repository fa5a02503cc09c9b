"""How good a run's samples are, and how good held-out items would be in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iddpm.data import ArrayDataset, Dataset, Splits
from iddpm.data.scaling import Levels
from iddpm.evaluation.features import ClassifierFeatures, FeatureNetwork
from iddpm.evaluation.images import collect, images_of_data, result_of
from iddpm.evaluation.scores import FEWEST, Scores, score_sets
from iddpm.evaluation.statistics import Statistics
from iddpm.files import cache_folder


def samples_needed(splits: Splits, most: int) -> int:
    """How many samples `judge` wants, `most` at most: as many as are held out. 0 where nothing can be judged."""
    if len(splits.spec.class_names) < 2 or min(most, len(splits.train)) < FEWEST:
        return 0
    held_out = 0 if splits.validation is None else len(splits.validation)
    return min(most, held_out) if held_out >= FEWEST else most


def judge(samples: Levels, splits: Splits) -> Iterator[tuple[int, int] | dict[str, Any]]:
    """Samples, and as many held-out items if there are enough of them, against all training items.

    In the features of a classifier of the data's own classes. Yields (parts done, parts), in the end
    {"samples": result, "held_out": result or None}, see `result_of`.
    """
    network = ClassifierFeatures.for_data(splits.train, splits.fingerprint(), cache_folder())
    sets: dict[str, Dataset] = {"samples": ArrayDataset(splits.spec, samples)}
    count = len(samples)
    if splits.validation is not None and len(splits.validation) >= FEWEST:
        sets["held_out"] = splits.validation
        count = min(count, len(splits.validation))  # distances of different numbers cannot be compared
    real = _look(splits.train, "training items", network, len(splits.train))
    found: dict[str, Any] = {"held_out": None}
    for position, (name, dataset) in enumerate(sets.items()):
        generated = _look(dataset, name, network, count)
        for news in score_sets(generated, real):
            if isinstance(news, Scores):
                found[name] = result_of(news, generated.manifest, real.manifest, seed=0)
            else:
                done, parts = news
                yield position * parts + done, len(sets) * parts
    yield found


def _look(dataset: Dataset, source: str, network: FeatureNetwork, count: int) -> Statistics:
    *_, found = collect(images_of_data(dataset, {"source": source}, count=count), network)
    assert isinstance(found, Statistics)
    return found
