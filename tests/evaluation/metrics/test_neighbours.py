from __future__ import annotations

import numpy as np

from iddpm.evaluation.metrics.neighbours import nearest


def test_blocks_give_what_all_pairs_give() -> None:
    generator = np.random.default_rng(0)
    queries, candidates = (generator.normal(size=(n, 7)).astype(np.float32) for n in (20, 53))
    distances = np.linalg.norm(queries[:, None] - candidates[None], axis=2)
    rows, nearest_distances = nearest(queries, (candidates[start : start + 10] for start in range(0, 53, 10)))
    assert np.array_equal(rows, distances.argmin(axis=1))
    np.testing.assert_allclose(nearest_distances, distances.min(axis=1), rtol=1e-5)


def test_a_copy_is_at_no_distance() -> None:
    candidates = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    rows, distances = nearest(candidates[4:5], [candidates])
    assert rows.tolist() == [4]
    assert distances[0] < 1e-6
