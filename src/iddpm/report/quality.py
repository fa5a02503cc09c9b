"""How good a run's samples are, and how good held-out items would be in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iddpm.data import ArrayDataset, Dataset, Splits
from iddpm.data.cache import cache_folder
from iddpm.data.dataset import Levels
from iddpm.evaluation.features import ClassifierFeatures, FeatureNetwork
from iddpm.evaluation.scores import FEWEST, Scores, score_sets
from iddpm.evaluation.statistics import Statistics
from iddpm.judging import collect, images_of_data, result_of


def can_be_judged(splits: Splits, count: int) -> bool:
    """Whether the data has the classes that the features need, and enough items."""
    return len(splits.spec.class_names) > 1 and min(count, len(splits.train)) >= FEWEST


def judge(samples: Levels, splits: Splits) -> Iterator[tuple[int, int] | dict[str, Any]]:
    """Samples, and the held-out items if there are enough of them, against all training items.

    In the features of a classifier of the data's own classes. Yields (parts done, parts), in the end
    {"samples": result, "held_out": result or None}, see `result_of`.
    """
    network = ClassifierFeatures.for_data(splits.train, splits.fingerprint(), cache_folder())
    sets: dict[str, Dataset] = {"samples": ArrayDataset(splits.spec, samples)}
    if splits.validation is not None and len(splits.validation) >= FEWEST:
        sets["held_out"] = splits.validation
    real = _look(splits.train, "training items", network)
    found: dict[str, Any] = {"held_out": None}
    for position, (name, dataset) in enumerate(sets.items()):
        generated = _look(dataset, name, network)
        for news in score_sets(generated, real):
            if isinstance(news, Scores):
                found[name] = result_of(news, generated.manifest, real.manifest, seed=0)
            else:
                done, parts = news
                yield position * parts + done, len(sets) * parts
    yield found


def _look(dataset: Dataset, source: str, network: FeatureNetwork) -> Statistics:
    *_, found = collect(images_of_data(dataset, {"source": source}), network)
    assert isinstance(found, Statistics)
    return found
