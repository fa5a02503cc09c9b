from __future__ import annotations

import pytest
import torch

from iddpm.evaluation.metrics import manifolds as module
from iddpm.evaluation.metrics.manifolds import manifolds


def draw(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def test_identical_and_disjoint_sets() -> None:
    real = draw(100, 0)
    same = manifolds(generated=real.clone(), real=real).means()
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    assert same["authenticity"] == 0
    far = manifolds(generated=real + 100, real=real).means()
    assert (far["precision"], far["recall"], far["coverage"], far["density"]) == (0, 0, 0, 0)
    assert far["authenticity"] == 1


def test_which_set_is_which() -> None:
    """Precision is about the generated images: a single good one again and again is precise, and reaches little."""
    real = draw(200, 0)
    generated = real[:1] + 0.01 * draw(50, 1)
    answers = manifolds(generated=generated, real=real)
    assert answers.means()["precision"] == 1
    assert answers.means()["recall"] < 0.05
    assert (len(answers.is_real_like), len(answers.is_reached), len(answers.is_covered)) == (50, 200, 200)


@pytest.mark.parametrize(("rows", "columns"), [(1024, 8192), (7, 11), (3, 2)])
def test_equals_the_definitions_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    generated, real = draw(41, 1) * 1.2, draw(57, 2)
    between = torch.cdist(generated.double(), real.double())

    def ball(points: torch.Tensor, k: int) -> torch.Tensor:
        distances = torch.cdist(points.double(), points.double())
        return distances.fill_diagonal_(torch.inf).kthvalue(k, dim=1).values

    answers = manifolds(generated=generated, real=real)
    assert torch.equal(answers.is_real_like, (between <= ball(real, 3)).any(dim=1))
    assert torch.equal(answers.is_reached, (between <= ball(generated, 3)[:, None]).any(dim=0))
    within = between <= ball(real, 5)
    assert torch.equal(answers.is_covered, within.any(dim=0))
    torch.testing.assert_close(answers.density, within.sum(dim=1) / 5)
    nearest = between.min(dim=1)
    assert torch.equal(answers.is_authentic, nearest.values > ball(real, 1)[nearest.indices])
