from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from iddpm.errors import UserError
from iddpm.evaluation.frechet import frechet_distance
from iddpm.evaluation.moments import Moments
from iddpm.evaluation.statistics import Statistics

MANIFEST = {"features": "classifier", "weights": "0123", "size": [8, 8], "channels": 1}


def statistics(rows: int = 40, **changes: object) -> Statistics:
    features = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    return Statistics({**MANIFEST, **changes}, Moments.of(features), features)


def test_saved_and_loaded(tmp_path: Path) -> None:
    first = statistics()
    first.save(tmp_path / "stats.npz")
    again = Statistics.load(tmp_path / "stats.npz")
    assert again.manifest == MANIFEST
    assert again.moments.count == 40
    assert first.features is not None
    assert again.features is not None
    assert torch.equal(first.features, again.features)
    assert abs(frechet_distance(first.moments, again.moments)) < 1e-6
    with np.load(tmp_path / "stats.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["sigma"], np.cov(first.features.numpy(), rowvar=False), rtol=1e-5)
    Statistics(MANIFEST, first.moments, None).save(tmp_path / "small.npz")
    assert Statistics.load(tmp_path / "small.npz").features is None
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["small.npz", "stats.npz"]


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "stats.npz"
    with pytest.raises(UserError, match="no file of statistics"):
        Statistics.load(path)
    path.write_text("hello")
    with pytest.raises(UserError, match="no file of statistics"):
        Statistics.load(path)
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(UserError, match="does not say which features"):
        Statistics.load(path)
    statistics().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="no file of statistics"):
        Statistics.load(path)


@pytest.mark.parametrize(("name", "value"), [("features", "inception"), ("weights", "9999"), ("size", [16, 16])])
def test_sets_that_cannot_be_compared(name: str, value: object) -> None:
    statistics().refuse_other(statistics(), "--reference", "stats.npz")
    with pytest.raises(UserError, match=f"--reference: stats.npz has {name} .*; both must be the same"):
        statistics().refuse_other(statistics(**{name: value}), "--reference", "stats.npz")
