"""Sizes of experiments: in miniature on two CPU cores, for one GPU, and as the paper ran them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from iddpm.config import Config, DataConfig, DatasetSpec, NetworkConfig, TrainingConfig
from iddpm.experiments.data import opened
from iddpm.names import SCALES
from iddpm.presets import preset

TINY_SIDE = 8
"""Pixels."""
KINDS = {"L_simple": "simple", "L_hybrid": "hybrid", "L_vlb": "vlb"}
"""Kinds of objectives by the paper's names."""


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that experiments make and measure.

    base: a run with the cosine schedule, T of 4,000 and L_hybrid, which experiments vary. classes: a run on data with
    classes, for the comparison with a GAN. widened, widths: a run of the scaling experiment, and its networks'
    channels. items, error: held-out items that are scored, and to within how many bits/dim. samples, sampling_steps:
    of a Frechet distance. vlb_timesteps: how L_vlb draws them outside of the experiment on that. other_data: a name of
    data that is not the scale's own. given: places of other models' samples, to be judged beside.
    """

    name: str
    base: Config
    classes: Config
    widened: Config
    widths: tuple[int, int, int, int]
    items: int
    error: float
    samples: int
    sampling_steps: str
    seeds: int
    vlb_timesteps: str = "importance"
    other_data: str = ""
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}-{self.other_data}" if self.other_data else self.name


def scale_of(name: str, data: DataConfig | None = None) -> Scale:
    """Return the scale of that name, on other data than its own if `data` is given.

    At the scale tiny, batches of larger images are smaller, in proportion to their side, so that it stays minutes.
    """
    scale: Scale = SCALES[name]()
    if data is None:
        return scale
    spec = opened(data).spec
    share = min(1.0, TINY_SIDE / math.prod(spec.size) ** 0.5) if name == "tiny" else 1.0
    labelled = data.with_changes(num_classes=len(spec.class_names) or None)
    return replace(
        scale,
        other_data=_name_of(data),
        base=_on(scale.base, data, spec, share),
        classes=_on(scale.classes, labelled, spec, share),
        widened=_on(scale.widened, data, spec, share),
    )


def _on(config: Config, data: DataConfig, spec: DatasetSpec, share: float) -> Config:
    """Move a configuration to other data: scale its batch by `share`, keep only attention widths that exist."""
    network = config.network
    widths = [spec.size[-1] // 2**level for level in range(len(network.channel_multipliers))]
    attention = tuple(width for width in network.attention_resolutions if width in widths)
    if network.attention_resolutions and not attention:
        attention = (widths[-1],)
    return config.with_changes(
        data=data,
        training={"batch_size": max(1, round(share * config.training.batch_size))},
        network={
            "attention_resolutions": attention,
            "classes": network.classes and data.num_classes is not None,
        },
    )


def _name_of(data: DataConfig) -> str:
    """Return a name that is fit for a file: digits, cifar10_train-16."""
    place = Path(data.source.rpartition(":")[2]).stem
    return place if data.size is None else f"{place}-{data.size}"


def quiet(config: Config) -> Config:
    """Return a run without the validations and samples that nobody looks at in an experiment."""
    return config.with_changes(training={"validate_every": 0, "sample_every": 0})


def tiny() -> Scale:
    """Return crops of photographs, 8x8 pixels in 256 levels, and networks that learn in a minute; or digits.

    L_vlb draws timesteps uniformly: importance sampling begins when every step has ten losses, which at T = 4,000 these
    runs never reach, and at T = 1,000 it then spends two fifths of them on the noisiest steps, where an error in eps is
    a large one in an x_0 that training does not clip.
    """
    base = Config(
        data=DataConfig(source="photos", size=TINY_SIDE, channels=3, validation=0.2),
        network=NetworkConfig(channels=16, channel_multipliers=(1, 2), num_res_blocks=1),
        training=TrainingConfig(
            steps=1200,
            batch_size=64,
            learning_rate=2e-3,
            warmup_steps=100,
            decay=True,
            gradient_clip=1.0,
            ema_rates=(0.99,),
            checkpoint_every=600,
            keep_checkpoints=1,
        ),
    )
    digits = preset("digits")
    classes = digits.with_changes(network={"classes": True})
    shorter = digits.with_changes(training={"steps": 1000})
    widths = (8, 12, 16, 24)
    return Scale("tiny", quiet(base), quiet(classes), quiet(shorter), widths, 256, 0.02, 500, "100", 5, "uniform")


def small() -> Scale:
    """Return CIFAR-10 and a network of 10 million parameters: hours on one GPU."""
    base = preset("cifar10").with_changes(
        network={"channels": 64, "num_res_blocks": 2, "dropout": 0.1},
        training={"steps": 50_000, "ema_rates": (0.9995,), "warmup_steps": 500},
    )
    classes = base.with_changes(network={"classes": True}, data={"num_classes": 10})
    return Scale("small", quiet(base), quiet(classes), quiet(base), (32, 48, 64, 96), 1000, 0.01, 10_000, "250", 3)


def paper() -> Scale:
    """Return CIFAR-10 as the paper trained it; the paper's ImageNet runs are the same on the data of its presets."""
    base = preset("cifar10").with_changes(network={"norm_groups": 32})  # of narrower networks, too
    classes = preset("imagenet64-class")
    widths = (64, 96, 128, 192)
    return Scale("paper", quiet(base), quiet(classes), quiet(base), widths, 10_000, 0.003, 50_000, "250", 3)


def varied(
    base: Config,
    *,
    schedule: str = "cosine",
    num_timesteps: int | None = None,
    objective: str = "L_hybrid",
    timesteps: str | None = None,
    channels: int | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    seed: int,
) -> Config:
    """Return `base` with what an experiment changes; None keeps its value, but L_vlb draws by importance as there."""
    return base.with_changes(
        diffusion={
            "schedule": schedule,
            "num_timesteps": num_timesteps or base.diffusion.num_timesteps,
            "variance": "fixed_small" if objective == "L_simple" else "learned_range",
        },
        objective={
            "kind": KINDS[objective],
            "timesteps": timesteps or ("importance" if objective == "L_vlb" else "uniform"),
        },
        network={"channels": channels or base.network.channels},
        training={
            "seed": seed,
            "steps": steps or base.training.steps,
            "learning_rate": learning_rate or base.training.learning_rate,
        },
    )
