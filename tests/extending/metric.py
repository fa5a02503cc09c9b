"""A score: how many images that differ there are among the samples (Vendi score: Friedman & Dieng 2023)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from iddpm.evaluation.metrics.jackknife import Values
from iddpm.evaluation.metrics.metric import FeatureSet, Metric
from iddpm.names import METRICS


class Vendi(Metric):
    """The exponential of the entropy of the eigenvalues of K / n, where K holds the features' cosine similarities."""

    needs_real_features = False

    def values(self, generated: FeatureSet, real: FeatureSet) -> Values:
        return {"vendi": vendi(generated.rows)}


def vendi(features: Tensor) -> float:
    """Return 1 for `[n, d]` of equal rows, and n for rows that have nothing in common."""
    rows = normalize(features.double(), dim=1)
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T / len(rows)).clamp(min=0)
    return float(torch.special.entr(eigenvalues).sum().exp())


METRICS.register("vendi", Vendi, "larger for samples that differ more", title="Vendi score")
