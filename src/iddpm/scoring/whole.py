"""Bits/dim of a dataset under a model, term by term, with standard errors over items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iddpm.config import by
from iddpm.data import Dataset
from iddpm.diffusion import Bound, Diffusion, Reading, SeededNoise, bound_terms, prior_bits
from iddpm.diffusion.process import Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import Stride
from iddpm.diffusion.reverse import Clip
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.progress import Progress, Work, finish


@dataclass(frozen=True)
class ScoringOptions:
    """The way items are scored.

    count:   the first so many items; None takes all, each exactly once.
    seed:    item i's noise comes from a generator seeded with (seed, i), so its score does not depend on its batch.
    clip:    bound predictions of x_0 to [-1, 1], which is part of the model that is scored; see `diffusion.reverse`.
    reading: another variance than the network was made with.
    """

    count: int | None = None
    seed: int = 0
    clip: Clip = True
    reading: Reading | None = None
    batch_size: int = 64

    def rows(self, dataset: Dataset) -> int:
        """Return the number of items to score; UserError for more than there are."""
        total = len(dataset) if self.count is None else self.count
        if not 0 < total <= len(dataset):
            raise UserError(f"must be 1 ... {len(dataset)}, the items to score", field="count", value=total)
        return total

    def read(self, diffusion: Diffusion, predict: Predict) -> tuple[Diffusion, Predict]:
        """Return the diffusion and the network with the variance that is scored."""
        return (diffusion, predict) if self.reading is None else self.reading.apply(diffusion, predict, clip=self.clip)


def score(
    model: Model,
    dataset: Dataset,
    *,
    steps: Stride | None = None,
    count: int | None = None,
    seed: int = 0,
    clip: Clip = True,
    reading: Reading | None = None,
    batch_size: int = 64,
) -> LikelihoodScore:
    """Return the bound in bits/dim on a dataset.

    steps: a stride; None takes the whole chain, which is the paper's figure. See `ScoringOptions` for the others.
    """
    options = ScoringOptions(count, seed, clip, reading, batch_size)
    return finish(scoring(model, dataset, model.diffusion.strided(steps), options))


def scoring(model: Model, dataset: Dataset, diffusion: Diffusion, options: ScoringOptions) -> Work[LikelihoodScore]:
    """Score a dataset on the chain of `diffusion`: work that returns the bound."""
    check_fits(model, dataset)
    total, size, steps = options.rows(dataset), options.batch_size, len(diffusion.schedule)
    sums, calls = _Sums(), -(-total // size) * steps
    for number, start in enumerate(range(0, total, size)):
        rows = np.arange(start, min(start + size, total))
        x_0 = dataset.batch(rows).to(model.device)
        predict = model.predict(model.conditions_from(x_0, dataset, rows))
        noise = SeededNoise([mixed_seed(options.seed, int(row)) for row in rows], dataset.spec.shape, model.device)
        terms = []
        chain, predict = options.read(diffusion, predict)
        for term in bound_terms(chain, predict, x_0, noise, clip=options.clip):
            terms.append(term)
            yield Progress("scoring", number * steps + len(terms), calls)
        sums.add(Bound.gathered(prior_bits(diffusion, x_0), terms))
    return sums.score(diffusion)


def check_fits(model: Model, dataset: Dataset) -> None:
    """Raise UserError for data that the model was not made for."""
    spec = dataset.spec
    if spec.shape != model.spec.shape or spec.levels != model.spec.levels:
        ours, theirs = (f"{by(form.shape)} in {form.levels} levels" for form in (model.spec, spec))
        raise UserError(
            f"items are {theirs}, and the model was made for {ours}", field="data.source", way="give data of that kind"
        )


@dataclass(frozen=True)
class Mean:
    """A mean over items, and its standard error (0 for a single item)."""

    mean: float
    error: float


@dataclass(frozen=True)
class LikelihoodScore:
    """The bound on a dataset, in bits/dim.

    total = prior + kl + decoder, each a mean over items with its standard error (0 for a single item).
    terms, term_errors: `[K]`, the mean of each term and its standard error; 0 is the decoder's.
    timesteps: the original timestep of each term. items: the total of every item, `[count]`.
    """

    count: int
    total: Mean
    prior: Mean
    kl: Mean
    decoder: Mean
    terms: list[float]
    term_errors: list[float]
    timesteps: list[int]
    items: list[float]


class _Sums:
    """Bounds of batches, summed on the CPU in float64. For every item only its parts are kept, not its terms."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._terms = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, dtype=torch.float64)

    def add(self, bound: Bound) -> None:
        """Add a batch."""
        terms = bound.terms.cpu().double()
        prior = bound.prior.cpu().double()
        self._parts.append(torch.stack([prior, terms[:, 1:].sum(dim=1), terms[:, 0]], dim=1))
        if not len(self._terms):
            self._terms, self._squares = torch.zeros_like(terms[0]), torch.zeros_like(terms[0])
        self._terms += terms.sum(dim=0)
        self._squares += (terms**2).sum(dim=0)

    def score(self, diffusion: Diffusion) -> LikelihoodScore:
        """Return means and standard errors over all items so far."""
        parts = torch.cat(self._parts)
        prior, kl, decoder = parts.unbind(1)
        total = parts.sum(dim=1)
        count = len(total)
        means = self._terms / count
        variances = (self._squares / count - means**2).clamp(min=0) * (count / max(1, count - 1))
        return LikelihoodScore(
            count=count,
            total=_mean(total),
            prior=_mean(prior),
            kl=_mean(kl),
            decoder=_mean(decoder),
            terms=means.tolist(),
            term_errors=(variances / count).sqrt().tolist(),
            timesteps=diffusion.schedule.timesteps.tolist(),
            items=total.tolist(),
        )


def _mean(values: Tensor) -> Mean:
    error = values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Mean(values.mean().item(), error)
