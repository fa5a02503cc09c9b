"""Autoregressive models see what came before a value, and nothing else; their likelihoods are exact."""

import itertools
import math

import pytest
import torch

from iddpm.config import DatasetSpec
from iddpm.experiments.rivals.autoregressive import MODELS, Autoregressive

SPEC = DatasetSpec(channels=3, size=(4, 4), levels=7)


def model(kind: str, spec: DatasetSpec = SPEC) -> Autoregressive:
    torch.manual_seed(0)
    made: Autoregressive = MODELS[kind](spec, 12, 2)
    torch.nn.init.normal_(made.last.weight, std=0.5)  # type: ignore[arg-type, union-attr]
    return made.eval()


def place_of(channel: int, row: int, column: int) -> int:
    """In the order in which values are read."""
    return (row * 4 + column) * 3 + channel


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_values_distribution_depends_on_values_before_it_alone(kind: str) -> None:
    network = model(kind)
    generator = torch.Generator().manual_seed(1)
    items = torch.randint(7, (1, 3, 4, 4), generator=generator)
    before = network.mixtures(items)
    for channel, row, column in itertools.product(range(3), range(4), range(4)):
        other = items.clone()
        other[0, channel, row, column] = (other[0, channel, row, column] + 3) % 7
        changed = (network.mixtures(other) - before).abs().amax(dim=1)[0] > 1e-7
        for place in itertools.product(range(3), range(4), range(4)):
            if place_of(*place) <= place_of(channel, row, column):
                assert not changed[place]
        if (row, column) != (3, 3):
            assert bool(changed[:, row, column + 1 :].any()) or column == 3


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_values_distribution_depends_on_all_values_before_it(kind: str) -> None:
    """No blind spot: the last pixel's, and one's in the middle, whose row above goes on to its right."""
    torch.manual_seed(0)
    spec = DatasetSpec(channels=3, size=(8, 8), levels=7)
    network = MODELS[kind](spec, 12, 5).double().eval()
    torch.nn.init.normal_(network.last.weight, std=2.0)
    items = torch.randint(7, (1, 3, 8, 8))
    before = network.mixtures(items)
    for channel, row, column in itertools.product(range(3), range(8), range(8)):
        other = items.clone()
        other[0, channel, row, column] = (other[0, channel, row, column] + 3) % 7
        changed = (network.mixtures(other) != before).any(dim=1)[0]
        for at in ((2, 7, 7), (1, 4, 2)):
            is_before = (row, column, channel) < (at[1], at[2], at[0])
            assert bool(changed[at]) == is_before


@pytest.mark.parametrize("kind", list(MODELS))
def test_channels_of_a_pixel_see_those_before_them(kind: str) -> None:
    network = model(kind)
    items = torch.zeros(1, 3, 4, 4, dtype=torch.long)
    other = items.clone()
    other[0, 0, 2, 2] = 6
    changed = (network.mixtures(other) - network.mixtures(items)).abs().amax(dim=1)[0] > 1e-7
    assert changed[1, 2, 2]
    assert changed[2, 2, 2]


@pytest.mark.parametrize("kind", list(MODELS))
def test_probabilities_of_all_items_sum_to_one(kind: str) -> None:
    spec = DatasetSpec(channels=1, size=(2, 2), levels=3)
    network = model(kind, spec)
    items = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(-1, 1, 2, 2)
    total = float((-network(items).detach() * 4 * math.log(2)).exp().sum())
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", list(MODELS))
def test_before_training_all_levels_are_about_as_likely(kind: str) -> None:
    spec = DatasetSpec(channels=1, size=(4, 4), levels=256)
    items = torch.randint(256, (64, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    bits = MODELS[kind](spec, 12, 2)(items)
    assert float(bits.mean().detach()) == pytest.approx(8.0, abs=0.2)
