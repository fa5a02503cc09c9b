"""Bits/dim of a dataset under a model, term by term, with standard errors over items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iddpm.data import Dataset, scale
from iddpm.diffusion import Bound, Diffusion, SeededNoise, bound_terms, prior_bits
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import Stride
from iddpm.diffusion.reverse import Clip
from iddpm.diffusion.variances import VarianceChoice
from iddpm.errors import UserError
from iddpm.model import Model


def score(
    model: Model,
    dataset: Dataset,
    *,
    count: int | None = None,
    seed: int = 0,
    steps: Stride | None = None,
    clip: Clip = True,
    variance: VarianceChoice | None = None,
    batch_size: int = 64,
) -> Score:
    """The bound in bits/dim on the first `count` items of a dataset (all for None), each counted once.

    steps: a stride; None takes the whole chain, which is the paper's figure. clip: bound predictions of x_0 to [-1, 1].
    variance: another one than the network was made with.
    """
    diffusion = model.diffusion.strided(steps)
    total = ScoreSum()
    work = score_batches(
        model, dataset, diffusion, count=count, seed=seed, clip=clip, variance=variance, batch_size=batch_size
    )
    for bound in work:
        if bound is not None:
            total.add(bound)
    return total.result(diffusion)


def score_batches(
    model: Model,
    dataset: Dataset,
    diffusion: Diffusion,
    *,
    count: int | None,
    seed: int,
    clip: Clip,
    variance: VarianceChoice | None = None,
    batch_size: int,
) -> Iterator[Bound | None]:
    """The bound of one batch after another, each item once and in order, and None after every other step.

    Item i's noise comes from a generator seeded with (seed, i), so its score does not depend on its batch.
    """
    check_fits(model, dataset)
    spec = dataset.spec
    total = len(dataset) if count is None else count
    if not 0 < total <= len(dataset):
        raise UserError(f"count: must be 1 ... {len(dataset)}, the items to score, got {total}")
    for start in range(0, total, batch_size):
        rows = np.arange(start, min(start + batch_size, total))
        x_0 = scale(dataset.items(rows), spec.levels).to(model.device)
        known = model.conditions_of(x_0, model.labels_of(dataset, rows))
        noise = SeededNoise([mixed_seed(seed, int(row)) for row in rows], spec.shape, model.device)
        terms = []
        chain, predict = diffusion, model.predict(**known)
        if variance is not None:
            chain, predict = variance.applied(chain, predict, clip=clip)
        for term in bound_terms(chain, predict, x_0, noise, clip=clip):
            terms.append(term)
            if term.position:
                yield None
        yield Bound.gathered(prior_bits(diffusion, x_0), terms)


def check_fits(model: Model, dataset: Dataset) -> None:
    """UserError for data that the model was not made for."""
    spec = dataset.spec
    if spec.shape != model.spec.shape or spec.levels != model.spec.levels:
        raise UserError(
            f"data: items of {'x'.join(map(str, spec.shape))} in {spec.levels} levels, and the model was made for"
            f" {'x'.join(map(str, model.spec.shape))} in {model.spec.levels}; give data of"
            " that kind"
        )


@dataclass(frozen=True)
class Estimate:
    """A mean over items, and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class Score:
    """The bound on a dataset, in bits/dim.

    total = prior + kl + decoder, each a mean over items with its standard error (0 for a single item).
    terms, term_errors: `[K]`, the mean of each term and its standard error; 0 is the decoder's.
    timesteps: the original timestep of each term. items: the total of every item, `[count]`.
    """

    count: int
    total: Estimate
    prior: Estimate
    kl: Estimate
    decoder: Estimate
    terms: list[float]
    term_errors: list[float]
    timesteps: list[int]
    items: list[float]


class ScoreSum:
    """Bounds of batches, summed on the CPU in float64. Of every item only its parts are kept, not its terms."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._terms = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, dtype=torch.float64)

    def add(self, bound: Bound) -> None:
        """One more batch."""
        terms = bound.terms.cpu().double()
        prior = bound.prior.cpu().double()
        self._parts.append(torch.stack([prior, terms[:, 1:].sum(dim=1), terms[:, 0]], dim=1))
        if not len(self._terms):
            self._terms, self._squares = torch.zeros_like(terms[0]), torch.zeros_like(terms[0])
        self._terms += terms.sum(dim=0)
        self._squares += (terms**2).sum(dim=0)

    def result(self, diffusion: Diffusion) -> Score:
        """Means and standard errors over all items so far."""
        parts = torch.cat(self._parts)
        prior, kl, decoder = parts.unbind(1)
        total = parts.sum(dim=1)
        count = len(total)
        means = self._terms / count
        variances = (self._squares / count - means**2).clamp(min=0) * (count / max(1, count - 1))
        return Score(
            count=count,
            total=_estimate(total),
            prior=_estimate(prior),
            kl=_estimate(kl),
            decoder=_estimate(decoder),
            terms=means.tolist(),
            term_errors=(variances / count).sqrt().tolist(),
            timesteps=diffusion.schedule.timesteps.tolist(),
            items=total.tolist(),
        )


def _estimate(values: Tensor) -> Estimate:
    error = values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Estimate(values.mean().item(), error)
