"""Autoregressive models see what came before a value, and nothing else; their likelihoods are exact."""

import itertools
import math

import pytest
import torch

from iddpm.config import DatasetSpec
from iddpm.experiments.rivals.autoregressive import MODELS, Autoregressive

pytestmark = pytest.mark.slow

SPEC = DatasetSpec(channels=3, size=(4, 4), levels=7)


def model(kind: str, spec: DatasetSpec = SPEC) -> Autoregressive:
    torch.manual_seed(0)
    made: Autoregressive = MODELS[kind](spec, 12, 2)
    torch.nn.init.normal_(made.last.weight, std=0.5)  # type: ignore[arg-type, union-attr]
    return made.eval()


def changed(network: Autoregressive, items: torch.Tensor, shift: int) -> torch.Tensor:
    """Return whose distributions change with each value, `[value, value]` in the order in which values are read."""
    order = items.permute(0, 2, 3, 1).flatten()  # channels innermost
    others = order.repeat(len(order), 1)
    others.diagonal().copy_((order + shift) % network.spec.levels)
    _, channels, height, width = items.shape
    every = torch.cat([order[None], others]).reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    first, *rest = network.mixtures(every).permute(0, 3, 4, 2, 1).flatten(1, 3).detach()
    return (torch.stack(rest) - first).abs().amax(dim=2) > 1e-10


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_values_distribution_depends_on_values_before_it_alone(kind: str) -> None:
    items = torch.randint(7, (1, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    depends = changed(model(kind).double(), items, 3)
    assert not depends.tril().any()
    for place in range(45):  # the next pixel and all after it in the row, but the last row's
        beyond = 3 * (place // 3 + 1)
        assert depends[place, beyond : 12 * (place // 12 + 1)].any() or beyond % 12 == 0


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_values_distribution_depends_on_all_values_before_it(kind: str) -> None:
    """No blind spot: the last pixel's, and one's in the middle, whose row above goes on to its right."""
    torch.manual_seed(0)
    network = MODELS[kind](DatasetSpec(channels=3, size=(8, 8), levels=7), 12, 5).double().eval()
    torch.nn.init.normal_(network.last.weight, std=2.0)  # type: ignore[arg-type, union-attr]
    depends = changed(network, torch.randint(7, (1, 3, 8, 8)), 1)
    for channel, row, column in ((2, 7, 7), (1, 4, 2)):
        place = (row * 8 + column) * 3 + channel
        assert depends[:place, place].all()
        assert not depends[place:, place].any()


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
