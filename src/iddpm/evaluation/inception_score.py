"""Inception score (Salimans et al. 2016): exp of the mean divergence of an image's classes from all images' classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class InceptionScore:
    """The mean over parts of the samples, and the standard deviation between parts."""

    mean: float
    spread: float


def inception_score(logits: Tensor, *, parts: int = 10, seed: int = 2020) -> InceptionScore:
    """Of `[n, classes]`, shuffled and in `parts`, as torch-fidelity does it."""
    shuffled = logits[np.random.RandomState(seed).permutation(len(logits))].double()
    log_p = shuffled.log_softmax(dim=1)
    p = log_p.exp()
    scores = []
    for part in range(parts):
        rows = slice(part * len(p) // parts, (part + 1) * len(p) // parts)
        terms = p[rows] * (log_p[rows] - p[rows].mean(dim=0).log())
        divergence = terms.where(p[rows] > 0, 0).sum(dim=1)
        scores.append(float(divergence.mean().exp()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
