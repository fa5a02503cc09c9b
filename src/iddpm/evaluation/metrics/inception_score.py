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
    order = np.random.RandomState(seed).permutation(len(logits))
    scores = []
    for part in range(parts):
        rows = order[part * len(order) // parts : (part + 1) * len(order) // parts]
        log_p = logits[rows].double().log_softmax(dim=1)
        p = log_p.exp()
        terms = p * (log_p - p.mean(dim=0).log())
        divergence = terms.where(p > 0, 0).sum(dim=1)
        scores.append(float(divergence.mean().exp()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
