from __future__ import annotations

import torch
from torch import Tensor

from iddpm.data import open_source
from iddpm.diffusion.planning import JumpStatistics
from iddpm.diffusion.reverse import Clip
from iddpm.few_steps.making import jump_statistics
from iddpm.model import Model
from iddpm.presets import preset
from iddpm.progress import finish


class Watched(JumpStatistics):
    """Keeps the noise that it was shown at every step."""

    def add(self, position: int, x_0: Tensor, x_t: Tensor, output: Tensor, *, clip: Clip = True) -> None:
        step = self.diffusion.schedule.at_position(position, x_t)
        seen.setdefault(position, []).append((x_t - step.sqrt_alpha_bar * x_0) / step.sqrt_one_minus_alpha_bar)
        super().add(position, x_0, x_t, output, clip=clip)


seen: dict[int, list[Tensor]] = {}


def test_class_conditional_networks_are_told_the_classes() -> None:
    config = preset("digits")
    small = config.network.model_copy(
        update={"channels": 32, "channel_multipliers": (1,), "attention_resolutions": (), "classes": True}
    )
    splits = open_source(config.data)
    assert splits.validation is not None
    model = Model.from_config(config.model_copy(update={"network": small}), splits.spec)  # refuses a call without them
    statistics = JumpStatistics(model.diffusion.strided("3"))
    work = jump_statistics(model, splits.validation, statistics, count=3, batch_size=2)
    assert [progress.done for progress in work] == list(range(2 * 3 + 1))
    assert statistics.count == 3


def test_an_item_has_the_same_noise_at_every_step() -> None:
    """With noise of their own, some steps would look better than their neighbours, and plans be of luck."""
    config = preset("digits")
    small = config.network.model_copy(update={"channels": 32, "channel_multipliers": (1,), "attention_resolutions": ()})
    splits = open_source(config.data)
    assert splits.validation is not None
    model = Model.from_config(config.model_copy(update={"network": small}), splits.spec)
    statistics = Watched(model.diffusion.strided("5"))
    seen.clear()
    finish(jump_statistics(model, splits.validation, statistics, count=6, seed=3, batch_size=4))
    noises = {position: torch.cat(each) for position, each in seen.items()}
    assert sorted(noises) == list(range(5))
    for each in noises.values():
        assert torch.allclose(each, noises[4], atol=1e-3)
    assert not torch.allclose(noises[4][0], noises[4][1], atol=0.1)
    assert abs(float(noises[4].mean())) < 0.2
    assert 0.8 < float(noises[4].std()) < 1.2
