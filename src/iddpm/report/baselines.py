"""Simple exact likelihoods to hold a model's bits/dim against: counts of grey levels, with and without context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iddpm.data import Dataset
from iddpm.data.scaling import Levels
from iddpm.scoring.whole import Mean

Probabilities = NDArray[np.float64]
Keys = NDArray[np.int64]

MOST_VALUES = 4_000_000
"""Values of training items that are counted, at most; the items are evenly spread over the dataset."""
CONTEXTS: tuple[tuple[int, int, int, int], ...] = ((4, 1, 1, 1), (4, 4, 1, 1), (4, 4, 2, 2))
"""The parts into which the levels of the pixels left, above, above left and above right fall, from coarse to fine."""
STRENGTH = 16.0
"""The number of counts that a coarser context's prediction is worth in a finer one."""


@dataclass(frozen=True)
class Baseline:
    """A model of counts: its name, and its bits/dim on held-out items."""

    name: str
    bits: Mean


def baselines(train: Dataset, validation: Dataset, count: int | None = None) -> list[Baseline]:
    """Count baselines on `train` and score them on the first `count` items of `validation` (all for None).

    They are the per-pixel histogram for data of any shape, and causal contexts for images.
    """
    levels = train.spec.levels
    most = max(2, MOST_VALUES // train.spec.num_dims)
    spread = np.linspace(0, len(train) - 1, min(len(train), most)).astype(np.int64)
    seen = train.items(spread)
    held_out = validation.items(np.arange(len(validation) if count is None else count))
    scores = [Baseline("per-pixel histogram", _bits(histogram(seen, held_out, levels)))]
    if len(train.spec.size) == 2:
        scores.append(Baseline("causal contexts", _bits(causal_contexts(seen, held_out, levels))))
    return scores


def histogram(seen: Levels, held_out: Levels, levels: int) -> Probabilities:
    """Return the probability of every held-out value by the counts at its own place, `[items, places]`.

    Half a count is added for every level (Krichevsky and Trofimov's estimate).
    """
    places = np.arange(seen[0].size)
    return _updated(_with(places, seen), _with(places, held_out), seen, held_out, levels, 1 / levels, levels / 2)


def causal_contexts(seen: Levels, held_out: Levels, levels: int) -> Probabilities:
    """Return the probability of every held-out value given pixels before it in raster order, `[items, places]`.

    Every place has contexts of its own, made of its neighbours in the same channel (see `CONTEXTS`). A context's
    counts refine the prediction of the next coarser one, the coarsest that of the place's histogram.
    """
    probabilities = histogram(seen, held_out, levels)
    for fineness in CONTEXTS:
        keys_seen, keys_held_out = (_context_keys(items, levels, fineness) for items in (seen, held_out))
        probabilities = _updated(keys_seen, keys_held_out, seen, held_out, levels, probabilities, STRENGTH)
    return probabilities


def _with(places: NDArray[np.int64], items: Levels) -> Keys:
    return np.broadcast_to(places[None], (len(items), len(places)))


def _context_keys(items: Levels, levels: int, fineness: tuple[int, int, int, int]) -> Keys:
    """Number the place and the quantized neighbours of every value, `[items, places]`; 0 beyond the border."""
    count, _, height, width = items.shape
    padded = np.pad(items.astype(np.int64), ((0, 0), (0, 0), (1, 0), (1, 1)))
    left = padded[:, :, 1:, :width]
    above_left, above, above_right = (padded[:, :, :height, shift : shift + width] for shift in range(3))
    keys = np.broadcast_to(np.arange(items[0].size).reshape(items.shape[1:]), items.shape)
    for neighbour, parts in zip((left, above, above_left, above_right), fineness, strict=True):
        keys = keys * parts + neighbour * parts // levels
    return keys.reshape(count, -1)


def _updated(
    keys_seen: Keys,
    keys_held_out: Keys,
    seen: Levels,
    held_out: Levels,
    levels: int,
    prior: Probabilities | float,
    strength: float,
) -> Probabilities:
    """Return (count of the value in its context + strength * prior) / (count of the context + strength)."""
    values_seen = seen.reshape(len(seen), -1).astype(np.int64)
    values_held_out = held_out.reshape(len(held_out), -1).astype(np.int64)
    in_context = _occurrences(keys_seen, keys_held_out)
    of_value = _occurrences(keys_seen * levels + values_seen, keys_held_out * levels + values_held_out)
    probabilities: Probabilities = (of_value + strength * prior) / (in_context + strength)
    return probabilities


def _occurrences(seen: Keys, wanted: Keys) -> NDArray[np.float64]:
    """Count how often each wanted key is among those seen."""
    keys, counts = np.unique(seen, return_counts=True)
    position = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[position] == wanted, counts[position], 0).astype(np.float64)


def _bits(probabilities: Probabilities) -> Mean:
    items = -np.log2(probabilities).mean(axis=1)
    error = float(items.std(ddof=1) / np.sqrt(len(items))) if len(items) > 1 else 0.0
    return Mean(float(items.mean()), error)
