from __future__ import annotations

import numpy as np

from iddpm.evaluation.metrics.neighbours import nearest


def test_blocks_give_what_all_pairs_give() -> None:
    generator = np.random.default_rng(0)
    queries, known = (generator.normal(size=(n, 7)).astype(np.float32) for n in (20, 53))
    distances = np.linalg.norm(queries[:, None] - known[None], axis=2)
    rows, found = nearest(queries, (known[start : start + 10] for start in range(0, 53, 10)))
    assert np.array_equal(rows, distances.argmin(axis=1))
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-5)


def test_a_copy_is_at_no_distance() -> None:
    known = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    rows, distances = nearest(known[4:5], [known])
    assert rows.tolist() == [4]
    assert distances[0] < 1e-6
