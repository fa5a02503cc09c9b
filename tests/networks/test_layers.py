from __future__ import annotations

import pytest
import torch

from iddpm.networks.layers import group_count, group_norm


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (8, 2), (12, 3), (16, 4), (28, 7), (32, 8), (64, 16), (128, 32), (192, 32)]
)
def test_groups_have_four_channels_or_more(channels: int, groups: int) -> None:
    assert group_count(channels, None) == groups
    assert channels % groups == 0


def test_the_authors_groups() -> None:
    assert [group_count(channels, 32) for channels in (24, 32, 48, 64, 128)] == [8, 32, 16, 32, 32]


def test_what_an_image_is_as_a_whole_survives() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 32, 4, 4, generator=generator)
    other = x + torch.randn(1, 32, 1, 1, generator=generator)  # another colour
    assert torch.allclose(group_norm(32, groups=32)(x), group_norm(32, groups=32)(other), atol=1e-4)
    assert float((group_norm(32)(x) - group_norm(32)(other)).detach().abs().mean()) > 0.3
