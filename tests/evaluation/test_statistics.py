from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iddpm.errors import UserError
from iddpm.evaluation.metrics.frechet import frechet_distance
from iddpm.evaluation.metrics.metric import QualityScore
from iddpm.evaluation.metrics.moments import Moments
from iddpm.evaluation.statistics import Statistics, is_statistics, refuse_other_features, refuse_other_images

MANIFEST: dict[str, Any] = {
    "images": {"size": [8, 8], "channels": 1, "count": 40},
    "features": {"name": "classifier", "weights": "0123"},
}


def statistics(rows: int = 40) -> Statistics:
    features = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    return Statistics(Moments.of(features), features, manifest=MANIFEST)


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
    Statistics(first.moments, manifest=MANIFEST).save(tmp_path / "small.npz")
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
    np.savez(path, manifest=np.array('{"format": 2}'), mu=np.zeros(3))
    with pytest.raises(UserError, match="is damaged: it has no count, sigma"):
        Statistics.load(path)
    np.savez(path, manifest=np.array('{"format": 1}'))
    with pytest.raises(UserError, match="is of another version of iddpm; make one with iddpm reference"):
        Statistics.load(path)
    statistics().save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="no file of statistics"):
        Statistics.load(path)


def test_errors_of_ours_are_not_told_as_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics().save(tmp_path / "stats.npz")
    monkeypatch.setattr("iddpm.evaluation.statistics.Moments", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Statistics.load(tmp_path / "stats.npz")
    monkeypatch.setattr("iddpm.evaluation.statistics.Moments", lambda: None)
    with pytest.raises(TypeError):
        Statistics.load(tmp_path / "stats.npz")


def test_everything_is_kept(tmp_path: Path) -> None:
    whole = replace(
        statistics(), spatial=statistics().moments, inception=QualityScore(3.5, spread=0.25), network=b"abc"
    )
    whole.save(tmp_path / "whole.npz")
    again = Statistics.load(tmp_path / "whole.npz")
    assert again.spatial is not None
    assert torch.allclose(again.spatial.covariance, statistics().moments.covariance)
    assert (again.inception, again.network) == (whole.inception, b"abc")


def test_statistics_are_told_from_images(tmp_path: Path) -> None:
    statistics().save(tmp_path / "ours.npz")
    np.savez(tmp_path / "theirs.npz", mu=np.zeros(3), sigma=np.eye(3))
    np.savez(tmp_path / "images.npz", arr_0=np.zeros((2, 4, 4, 3)))
    (tmp_path / "text.npz").write_text("hello")
    are_statistics = {path.stem: is_statistics(path) for path in tmp_path.iterdir()}
    assert are_statistics == {"ours": True, "theirs": True, "images": False, "text": False}


def test_sets_that_cannot_be_compared() -> None:
    images, features = MANIFEST["images"], MANIFEST["features"]
    refuse_other_images(images, images)
    refuse_other_features(MANIFEST, MANIFEST)
    with pytest.raises(UserError, match="reference: its images are 16x16x1 .*, and the samples 8x8x1"):
        refuse_other_images(images, {**images, "size": [16, 16]})
    with pytest.raises(UserError, match="reference: its images are 8x8x3 .*, and the samples 8x8x1"):
        refuse_other_images(images, {**images, "channels": 3})
    with pytest.raises(UserError, match="its features are inception, and the samples' classifier"):
        refuse_other_features(MANIFEST, {"features": {**features, "name": "inception"}})
    with pytest.raises(UserError, match=r"its features \(classifier\) have the weights 9999, and the samples' 0123"):
        refuse_other_features(MANIFEST, {"features": {**features, "weights": "9999"}})
