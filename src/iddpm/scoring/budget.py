"""Bits/dim on a budget: from few terms of the bound, drawn at random, with a confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset
from iddpm.data.dataset import Indices
from iddpm.diffusion import Diffusion, Reading, SeededNoise, prior_bits, single_terms
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import Stride
from iddpm.diffusion.reverse import Clip
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.progress import Progress, Work, finish
from iddpm.scoring.whole import ScoringOptions, check_fits

PILOT_ITEMS, PILOT_STEPS = 16, 24
"""Size of the pilot, which finds how large the terms are and so how often each is drawn."""
EVEN_SHARE = 0.1
"""Share of draws that is spread evenly over all terms, so that a term that was misjudged weighs little."""
FEWEST_DRAWS = 64
"""Draws before an estimate may end: the spread of fewer is not known well enough for an interval."""
NORMAL_QUANTILE = 1.959964
"""The 97.5 % quantile, for intervals of 95 %."""


@dataclass(frozen=True)
class BoundEstimate:
    """The bound's mean over `count` items in bits/dim, known to within `half_width` with 95 % confidence.

    The interval is that of drawing terms and noise: it covers the mean over these very items. evaluations: of the
    network, item by item, with the pilot's; of_all: how many the whole bound takes.
    """

    count: int
    mean: float
    half_width: float
    evaluations: int
    of_all: int


def estimating(
    model: Model, dataset: Dataset, diffusion: Diffusion, options: ScoringOptions, *, error: float
) -> Work[BoundEstimate]:
    """Estimate the bound until its `half_width` is at most `error` bits/dim: work that returns the estimate.

    In every round each item has one term of its bound evaluated, drawn with a probability in proportion to how large
    terms are there (found by a pilot), and divided by it: no term is left out, and a round's mean is unbiased. It ends
    early, with what it has, if the whole bound would not take more evaluations than another round. Item i's noise in
    a round comes from a generator seeded with (seed, round, i).
    """
    check_fits(model, dataset)
    total = options.rows(dataset)
    if not 0 < error < math.inf:
        raise UserError("must be above 0 and finite", field="error", value=f"{error:g}", way="0.01 bits/dim is usual")
    terms = _Terms(model, dataset, diffusion, options)
    steps = len(diffusion.schedule)
    per_step = 1 if options.reading is None else options.reading.evaluations
    of_pilot, of_round, of_all = (per_step * n for n in (_pilot_size(steps, total), total, total * steps))
    shares = _shares(terms, total)
    evaluations = of_pilot
    drawn = torch.zeros(0, total, dtype=torch.float64)
    prior = float(terms.prior(total).mean())
    generator = torch.Generator().manual_seed(mixed_seed(options.seed, 1))
    while True:
        positions = torch.multinomial(shares, total, replacement=True, generator=generator)
        values = terms.at(np.arange(total), positions, draw=len(drawn)) / shares[positions]
        drawn = torch.cat([drawn, values[None]])
        evaluations += of_round
        if len(drawn) > 1:
            estimate = BoundEstimate(total, prior + float(drawn.mean()), _half_width(drawn), evaluations, of_all)
            yield Progress(f"estimating: {estimate.mean:.4f} +- {estimate.half_width:.4f}", evaluations, of_all)
            is_narrow = estimate.half_width <= error and drawn.numel() >= FEWEST_DRAWS
            if is_narrow or evaluations + of_round > of_all:
                return estimate


def estimate(
    model: Model,
    dataset: Dataset,
    *,
    error: float,
    steps: Stride | None = None,
    count: int | None = None,
    seed: int = 0,
    clip: Clip = True,
    reading: Reading | None = None,
    batch_size: int = 64,
) -> BoundEstimate:
    """Return the bound in bits/dim on a dataset to within `error` with 95 % confidence; see `estimating`."""
    options = ScoringOptions(count, seed, clip, reading, batch_size)
    return finish(estimating(model, dataset, model.diffusion.strided(steps), options, error=error))


def least_evaluations(steps: int, items: int) -> int:
    """Return the fewest evaluations that an estimate takes; if the whole bound takes fewer, estimate nothing."""
    return _pilot_size(steps, items) + 2 * items


def _half_width(drawn: Tensor) -> float:
    """Return the half-width of the 95 % interval of the mean of `[rounds, items]`: only the draws are random."""
    rounds, items = drawn.shape
    error = math.sqrt(float(drawn.var(dim=0).sum()) / rounds) / items
    z, degrees = NORMAL_QUANTILE, items * (rounds - 1)
    return error * (z + (z**3 + z) / (4 * degrees))  # Student's quantile, nearly


def _pilot_positions(steps: int) -> list[int]:
    """Return positions from the first step to the last, closer at the first, where terms change most."""
    return sorted({round(math.expm1(log)) for log in np.linspace(0, math.log(steps), PILOT_STEPS)})


def _pilot_size(steps: int, total: int) -> int:
    return min(PILOT_ITEMS, total) * len(_pilot_positions(steps))


def _shares(terms: _Terms, total: int) -> Tensor:
    """Return the probability of each position, float64 `[K]`, in proportion to the root mean square of its terms."""
    positions = _pilot_positions(terms.steps)
    rows = np.linspace(0, total - 1, min(PILOT_ITEMS, total)).astype(np.int64)
    pilot = [terms.at(rows, torch.full((len(rows),), position), draw=-1 - position) for position in positions]
    sizes = [float((values**2).mean().sqrt()) for values in pilot]
    places = np.log1p(np.array(positions))
    logs = np.interp(np.log1p(np.arange(terms.steps)), places, np.log(np.maximum(sizes, 1e-12)))
    large = torch.from_numpy(np.exp(logs))
    return (1 - EVEN_SHARE) * large / large.sum() + EVEN_SHARE / terms.steps


class _Terms:
    """The terms of items' bounds, each with noise of its own."""

    def __init__(self, model: Model, dataset: Dataset, diffusion: Diffusion, options: ScoringOptions) -> None:
        self.steps = len(diffusion.schedule)
        self._model, self._dataset, self._diffusion, self._options = model, dataset, diffusion, options

    def at(self, rows: Indices, positions: Tensor, draw: int) -> Tensor:
        """Return the terms of the items `rows` at `positions`, float64 `[rows]` on the CPU, with that draw's noise."""
        options, terms = self._options, []
        for start in range(0, len(rows), options.batch_size):
            part = slice(start, start + options.batch_size)
            x_0 = self._batch(rows[part])
            predict = self._model.predict(self._model.conditions_from(x_0, self._dataset, rows[part]))
            chain, predict = options.read(self._diffusion, predict)
            seeds = [mixed_seed(options.seed, 2, draw, int(row)) for row in rows[part]]
            noise = SeededNoise(seeds, x_0.shape[1:], self._model.device)()
            bits = single_terms(chain, predict, x_0, positions[part].to(x_0.device), noise, clip=options.clip)
            terms.append(bits.cpu().double())
        return torch.cat(terms)

    def prior(self, total: int) -> Tensor:
        """Return the prior's part of the first `total` items, which takes no network."""
        parts = [np.arange(start, min(start + 1024, total)) for start in range(0, total, 1024)]
        return torch.cat([prior_bits(self._diffusion, self._batch(part)).cpu().double() for part in parts])

    def _batch(self, rows: Indices) -> Tensor:
        return self._dataset.batch(rows).to(self._model.device)
