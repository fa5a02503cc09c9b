from __future__ import annotations

import numpy as np
import pytest

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import ArrayDataset, open_source
from iddpm.report.baselines import baselines, causal_contexts, histogram


def test_probabilities_of_all_levels_sum_to_one() -> None:
    """Whatever came before it, a pixel takes one of its levels."""
    levels = 5
    seen = np.random.default_rng(0).integers(0, levels, (30, 1, 3, 3)).astype(np.uint8)
    item = np.random.default_rng(1).integers(0, levels, (1, 1, 3, 3)).astype(np.uint8)
    for place in range(9):
        options = np.repeat(item, levels, axis=0).reshape(levels, 9)
        options[:, place] = np.arange(levels)
        for model in (histogram, causal_contexts):
            probabilities = model(seen, options.reshape(levels, 1, 3, 3), levels)
            assert probabilities[:, place].sum() == pytest.approx(1)


def test_contexts_do_not_look_ahead() -> None:
    seen = np.random.default_rng(0).integers(0, 4, (30, 1, 3, 3)).astype(np.uint8)
    item = seen[:1].copy()
    changed = item.copy()
    changed[0, 0, 1, 1] = (changed[0, 0, 1, 1] + 1) % 4
    before, after = (causal_contexts(seen, x, 4)[0] for x in (item, changed))
    assert np.array_equal(before[:4], after[:4])  # places before the changed one


def test_uniform_noise_costs_its_entropy() -> None:
    items = np.random.default_rng(0).integers(0, 16, (4000, 1, 2, 2)).astype(np.uint8)
    spec = DatasetSpec(channels=1, size=(2, 2), levels=16)
    for baseline in baselines(ArrayDataset(spec, items[:3000]), ArrayDataset(spec, items[3000:])):
        assert baseline.bits.mean == pytest.approx(4, abs=0.08)


def test_context_helps_on_digits() -> None:
    splits = open_source(DataConfig(source="digits", validation=1 / 6))
    assert splits.validation is not None
    plain, context = baselines(splits.train, splits.validation)
    assert 2.3 < plain.bits.mean < 2.5
    assert context.bits.mean < plain.bits.mean - 0.1
