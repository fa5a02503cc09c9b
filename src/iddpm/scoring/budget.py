"""Bits/dim on a budget: from few terms of the bound, drawn at random, with a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset, scale
from iddpm.diffusion import Diffusion, SeededNoise, prior_bits, single_terms
from iddpm.diffusion.process import Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.variances import VarianceChoice
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.scoring.whole import check_fits

PILOT_ITEMS, PILOT_STEPS = 16, 24
"""Of the first look at how large the terms are, which decides how often each is drawn."""
EVEN_SHARE = 0.1
"""Of draws that are spread evenly over all terms, so that none that was misjudged weighs much."""
FEWEST_DRAWS = 64
"""Before it may end: the spread of fewer is not known well enough for an interval."""
NORMAL_QUANTILE = 1.959964
"""97.5 %, for intervals of 95 %."""


@dataclass(frozen=True)
class BoundEstimate:
    """The bound's mean over `count` items in bits/dim, known to within `half_width` with 95 % confidence.

    The interval is that of drawing terms and noise: it covers the mean over these very items. evaluations: of the
    network, item by item, the pilot's included; of_all: how many the whole bound takes.
    """

    count: int
    mean: float
    half_width: float
    evaluations: int
    of_all: int


def estimate_bound(
    model: Model,
    dataset: Dataset,
    diffusion: Diffusion,
    *,
    error: float,
    count: int | None = None,
    seed: int = 0,
    clip: Clip = True,
    variance: VarianceChoice | None = None,
    batch_size: int = 64,
) -> Iterator[BoundEstimate]:
    """Estimates that grow better, one a round; the last one's `half_width` is at most `error` bits/dim.

    In every round each item has one term of its bound evaluated, drawn with a probability in proportion to how large
    terms are there (found by a pilot), and divided by it: no term is left out, and a round's mean is unbiased. It ends
    early, with what it has, where the whole bound would not take more evaluations than another round. Item i's noise in
    a round comes from a generator seeded with (seed, round, i).
    """
    check_fits(model, dataset)
    total = len(dataset) if count is None else count
    if not 0 < total <= len(dataset):
        raise UserError(f"count: must be 1 ... {len(dataset)}, the items to score, got {total}")
    if not error > 0:
        raise UserError(f"error: must be above 0, got {error}; 0.01 bits/dim is usual")
    terms = _Terms(model, dataset, diffusion, seed, clip, variance, batch_size)
    steps = len(diffusion.schedule)
    each = 1 if variance is None else variance.evaluations
    of_pilot, of_round, of_all = (each * n for n in (_pilot_size(steps, total), total, total * steps))
    shares = _shares(terms, total)
    evaluations = of_pilot
    drawn = torch.zeros(0, total, dtype=torch.float64)
    prior = float(terms.prior(total).mean())
    generator = torch.Generator().manual_seed(mixed_seed(seed, 1))
    while True:
        positions = torch.multinomial(shares, total, replacement=True, generator=generator)
        found = terms.at(np.arange(total), positions, draw=len(drawn)) / shares[positions]
        drawn = torch.cat([drawn, found[None]])
        evaluations += of_round
        if len(drawn) > 1:
            estimate = BoundEstimate(total, prior + float(drawn.mean()), _half_width(drawn), evaluations, of_all)
            yield estimate
            is_narrow = estimate.half_width <= error and drawn.numel() >= FEWEST_DRAWS
            if is_narrow or evaluations + of_round > of_all:
                return


def least_evaluations(steps: int, items: int) -> int:
    """Of the network, that an estimate takes: where the whole bound takes fewer, there is nothing to be saved."""
    return _pilot_size(steps, items) + 2 * items


def _half_width(drawn: Tensor) -> float:
    """Of the 95 % interval of the mean of `[rounds, items]`: items are fixed, and what is drawn of each is not."""
    rounds, items = drawn.shape
    error = math.sqrt(float(drawn.var(dim=0).sum()) / rounds) / items
    z, degrees = NORMAL_QUANTILE, items * (rounds - 1)
    return error * (z + (z**3 + z) / (4 * degrees))  # Student's quantile, nearly


def _pilot_positions(steps: int) -> list[int]:
    """From the first step to the last, closer at the first, where terms change most."""
    return sorted({round(math.expm1(each)) for each in np.linspace(0, math.log(steps), PILOT_STEPS)})


def _pilot_size(steps: int, total: int) -> int:
    return min(PILOT_ITEMS, total) * len(_pilot_positions(steps))


def _shares(terms: _Terms, total: int) -> Tensor:
    """How often each position is to be drawn, float64 `[K]`: in proportion to the root mean square of its terms."""
    positions = _pilot_positions(terms.steps)
    rows = np.linspace(0, total - 1, min(PILOT_ITEMS, total)).astype(np.int64)
    looked_at = [terms.at(rows, torch.full((len(rows),), each), draw=-1 - each) for each in positions]
    sizes = [float((found**2).mean().sqrt()) for found in looked_at]
    known = np.log1p(np.array(positions))
    logs = np.interp(np.log1p(np.arange(terms.steps)), known, np.log(np.maximum(sizes, 1e-12)))
    large = torch.from_numpy(np.exp(logs))
    return (1 - EVEN_SHARE) * large / large.sum() + EVEN_SHARE / terms.steps


class _Terms:
    """Terms of items' bounds, each with noise of its own."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        diffusion: Diffusion,
        seed: int,
        clip: Clip,
        variance: VarianceChoice | None,
        batch_size: int,
    ) -> None:
        self.steps = len(diffusion.schedule)
        self._model, self._dataset, self._diffusion = model, dataset, diffusion
        self._seed, self._clip, self._variance, self._batch_size = seed, clip, variance, batch_size

    def at(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]], positions: Tensor, draw: int) -> Tensor:
        """The terms of the items `rows` at `positions`, float64 `[rows]` on the CPU, with the noise of that draw."""
        found = []
        for start in range(0, len(rows), self._batch_size):
            part = slice(start, start + self._batch_size)
            x_0, predict = self._batch(rows[part])
            chain = self._diffusion
            if self._variance is not None:
                chain, predict = self._variance.applied(chain, predict, clip=self._clip)
            seeds = [mixed_seed(self._seed, 2, draw, int(row)) for row in rows[part]]
            noise = SeededNoise(seeds, x_0.shape[1:], self._model.device)()
            bits = single_terms(chain, predict, x_0, positions[part].to(x_0.device), noise, clip=self._clip)
            found.append(bits.cpu().double())
        return torch.cat(found)

    def prior(self, total: int) -> Tensor:
        """The prior's part of the first `total` items, which takes no network."""
        parts = [np.arange(start, min(start + 1024, total)) for start in range(0, total, 1024)]
        return torch.cat([prior_bits(self._diffusion, self._data(part)).cpu().double() for part in parts])

    def _data(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
        return scale(self._dataset.items(rows), self._dataset.spec.levels).to(self._model.device)

    def _batch(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[Tensor, Predict]:
        x_0 = self._data(rows)
        return x_0, self._model.predict(**self._model.conditions_of(x_0, self._model.labels_of(self._dataset, rows)))
