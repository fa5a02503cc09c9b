from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch

from iddpm.build import build_network
from iddpm.checkpoints.formats import openai
from iddpm.conditions import LowResolution
from iddpm.config import DataConfig
from iddpm.errors import UserError
from iddpm.networks import UNet
from iddpm.presets import PRESETS, preset
from tests import golden

PUBLISHED = golden.facts("published_checkpoints.json")
PRESET_OF = {
    "cifar10_uncond_50M_500K.pt": "cifar10",
    "cifar10_uncond_vlb_50M_500K.pt": "cifar10-vlb",
    "imagenet64_uncond_100M_1500K.pt": "imagenet64",
    "imagenet64_uncond_vlb_100M_1500K.pt": "imagenet64-vlb",
    "imagenet64_cond_270M_250K.pt": "imagenet64-class",
    "lsun_uncond_100M_1200K_bs128.pt": "lsun256",
    "upsample_cond_500K.pt": "upsample256",
}


def small(size: tuple[int, ...] = (8, 8), in_channels: int = 1, out_channels: int = 2, **options: Any) -> UNet:
    return UNet(size, in_channels, out_channels, channels=32, num_res_blocks=1, **options)


@pytest.mark.parametrize("name", PRESET_OF)
def test_presets_are_the_published_networks(name: str) -> None:
    """Same number of parameters, and the same tensors by name and shape, as the authors' released file."""
    known = PUBLISHED[name]
    config = preset(PRESET_OF[name])
    spec = config.data.expected_spec()
    assert spec is not None
    with torch.device("meta"):
        network = build_network(config, spec)
    assert sum(parameter.numel() for parameter in network.parameters()) == known["parameters"]
    theirs = openai.OpenAI().to_theirs(network.state_dict())
    assert len(theirs) == known["tensors"]
    lines = sorted(f"{key} {'x'.join(map(str, tensor.shape))}" for key, tensor in theirs.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == known["sha256"]
    assert set(openai.OpenAI().to_ours(theirs)) == set(network.state_dict())


@pytest.mark.parametrize("name", PRESET_OF)
def test_presets_have_the_published_hyperparameters(name: str) -> None:
    flags, config = PUBLISHED[name]["flags"], preset(PRESET_OF[name])
    assert config.training.learning_rate == flags["lr"]
    assert config.training.batch_size == flags["batch"]
    assert config.network.dropout == flags["dropout"]
    assert config.network.classes == flags["class_cond"]
    assert config.diffusion.num_timesteps == flags["diffusion_steps"]
    assert config.diffusion.schedule == flags["noise_schedule"]
    assert config.diffusion.rescale_timesteps == flags["rescale_timesteps"]
    assert config.objective.kind == flags["objective"]
    assert (config.objective.timesteps == "importance") == ("timestep_sampler" in flags)
    if flags["objective"] == "hybrid" and not flags["rescale_learned_sigmas"]:
        assert config.objective.vlb_weight == pytest.approx(1 / flags["diffusion_steps"])


def test_every_preset_builds() -> None:
    for known in PRESETS.values():
        spec = known.config.data.expected_spec()
        assert spec is not None
        with torch.device("meta"):
            build_network(known.config, spec)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("size", [(16,), (8, 8), (4, 12), (6, 8, 8)])
def test_any_size_and_number_of_channels(size: tuple[int, ...], channels: int) -> None:
    network = small(size, channels, 2 * channels, attention_resolutions=(size[-1] // 2,))
    x = torch.randn(2, channels, *size)
    output = network(x, torch.tensor([3, 700]))
    assert output.shape == (2, 2 * channels, *size)
    assert bool((output == 0).all())  # the last convolution starts at zero


def test_volumes_halve_their_depth_only_if_asked() -> None:
    shapes = []
    for halve_depth in (False, True):
        network = small((4, 8, 8), halve_depth=halve_depth)
        network.middle.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape[2:])))
        network(torch.randn(1, 1, 4, 8, 8), torch.tensor([1]))
    assert shapes == [(4, 4, 4), (2, 4, 4)]


def test_the_network_works_on_other_sizes_than_its_own() -> None:
    assert small()(torch.randn(1, 1, 12, 20), torch.tensor([1])).shape == (1, 2, 12, 20)
    with pytest.raises(UserError, match="multiple of 2"):
        small()(torch.randn(1, 1, 9, 8), torch.tensor([1]))
    with pytest.raises(UserError, match="2 axes"):
        small()(torch.randn(1, 1, 8), torch.tensor([1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_resolutions": (3,)}, "attention_resolutions: 3 is not the width"),
        ({"num_heads": 5}, "5 heads do not divide"),
        ({"channel_multipliers": (1, 1, 1, 1, 1)}, "multiple of 16"),
        ({"channel_multipliers": ()}, "at least one level"),
        ({"size": (8, 8, 8, 8)}, "1, 2 or 3 dimensions"),
        (
            {"size": (4, 4), "channel_multipliers": (1, 1, 1), "norm_groups": 32},
            "levels leave one position of 32 channels",
        ),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**options)


def test_classes_condition_the_network() -> None:
    config = {**golden.facts("networks/index.json")["classes"]["config"]}
    network = golden.ruled_network(config, (8, 8))
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([5, 5])
    first, second = (network(x, t, {"classes": torch.tensor([k, k])}) for k in (0, 1))
    assert (first - second).abs().max() > 1e-3
    with pytest.raises(UserError, match="made with classes, and is given none"):
        network(x, t)
    with pytest.raises(UserError, match="made with none, and is given classes"):
        small()(torch.randn(1, 1, 8, 8), torch.tensor([1]), {"classes": torch.tensor([0])})


def test_an_upsampler_needs_its_images() -> None:
    condition = LowResolution(3, 4, DataConfig())
    network = UNet((8, 8), 3, 6, channels=32, num_res_blocks=1, conditions=[condition])
    with pytest.raises(UserError, match="conditions: the network was made with low_resolution, and is given none"):
        network(torch.randn(1, 3, 8, 8), torch.tensor([1]))


def lively(**options: Any) -> UNet:
    config = {
        "in_channels": 1,
        "model_channels": 32,
        "out_channels": 2,
        "num_res_blocks": 1,
        "attention_resolutions": [2],
        "channel_mult": [1, 2],
        "num_heads": 2,
        "use_scale_shift_norm": True,
    }
    return golden.ruled_network(config, (8, 8), **options)


def test_recomputing_activations_changes_nothing() -> None:
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 90])
    gradients = []
    for recompute in (False, True):
        network = lively(recompute_activations=recompute).train()
        network(x, t).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_pooled_resampling_has_no_weights_there() -> None:
    network = lively(convolutional_resampling=False)
    assert not any("resample" in name for name in network.state_dict())
    assert network(torch.randn(1, 1, 8, 8), torch.tensor([4])).abs().max() > 0


def test_timesteps_are_scaled_in_one_place() -> None:
    x = torch.randn(1, 1, 8, 8)
    scaled, plain = lively(timestep_scale=0.25), lively()
    torch.testing.assert_close(scaled(x, torch.tensor([2000])), plain(x, torch.tensor([500])))


def test_foreign_names_are_refused() -> None:
    for translate in (openai.our_name, openai.their_name):
        with pytest.raises(UserError, match="not one of"):
            translate("unet.weight")
