"""Agreement with torch-fidelity: the same features give its own figures."""

from __future__ import annotations

import sys
import warnings
from unittest.mock import MagicMock

import pytest
import torch

from iddpm.evaluation.metrics.frechet import frechet_distance
from iddpm.evaluation.metrics.inception_score import inception_score
from iddpm.evaluation.metrics.kernel import kernel_distance
from iddpm.evaluation.metrics.manifolds import manifolds
from iddpm.evaluation.metrics.moments import Moments

# The metrics use nothing of torchvision, which the package's other modules import and the index has for CUDA alone.
TORCHVISION = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
with warnings.catch_warnings(action="ignore"), pytest.MonkeyPatch.context() as patch:
    for name in TORCHVISION:
        patch.setitem(sys.modules, name, MagicMock())
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric
for name in [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]:
    del sys.modules[name]  # other tests import it anew, without the stand-in


@pytest.fixture(scope="module")
def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Like the Inception network's: positive, many near zero, correlated."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(64, 64, generator=generator) / 8
    generated, real = (
        torch.randn(n, 64, generator=generator) @ mixing + shift for n, shift in ((1500, 0.1), (1200, 0))
    )
    return generated.relu(), real.relu()


def test_frechet(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    statistics = [fid_features_to_statistics(rows.double()) for rows in features]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(*map(Moments.of, features)) == pytest.approx(theirs, rel=1e-6)


def test_kernel(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    subsets = {"kid_subsets": 10, "kid_subset_size": 500}
    theirs = kid_features_to_metric(*(rows.double() for rows in features), verbose=False, **subsets)
    ours = kernel_distance(*features, subsets=10, subset_size=500)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert ours.spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)


def test_precision_and_recall(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    generated, real = features
    theirs = prc_features_to_metric(generated, real, verbose=False)
    ours = manifolds(generated=generated, real=real).means()
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-6)
    assert 0 < theirs["recall"] < 1


def test_inception_score(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    theirs = isc_features_to_metric(features[0])
    ours = inception_score(features[0])
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert ours.spread == pytest.approx(theirs["inception_score_std"], rel=1e-6)
