"""How large experiments are: in miniature on two CPU cores, for one GPU, and as the paper ran them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from iddpm.config import Config, DataConfig, DatasetSpec, NetworkConfig, ObjectiveConfig, TrainingConfig
from iddpm.experiments.data import opened
from iddpm.experiments.names import ScaleName
from iddpm.presets import preset

TINY_SIDE = 8
"""Pixels."""
ObjectiveName = Literal["L_simple", "L_hybrid", "L_vlb"]


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that experiments make and measure.

    base: a run with the cosine schedule, T of 4,000 and L_hybrid, which experiments vary. classes: data with classes
    for the comparison with a GAN. widened, widths: a run of the scaling experiment, and its networks' channels.
    items, error: held-out items that are scored, and to within how many bits/dim. samples, sampling_steps: of a Frechet
    distance. vlb_timesteps: how L_vlb draws them outside of the experiment on that. other_data: a name of data that is
    not the scale's own. given: places of other models' samples, to be judged beside.
    """

    name: ScaleName
    base: Config
    classes: Config
    widened: Config
    widths: tuple[int, int, int, int]
    items: int
    error: float
    samples: int
    sampling_steps: str
    seeds: int
    vlb_timesteps: Literal["uniform", "importance"] = "importance"
    other_data: str = ""
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}-{self.other_data}" if self.other_data else self.name


def scale_of(name: ScaleName, data: DataConfig | None = None) -> Scale:
    """The scale of that name, on other data than its own if `data` is given.

    At the scale tiny, batches of larger images are smaller, in proportion to their side, so that it stays minutes.
    """
    made = {"tiny": tiny, "small": small, "paper": paper}[name]()
    if data is None:
        return made
    spec = opened(data).spec
    share = min(1.0, TINY_SIDE / math.prod(spec.size) ** 0.5) if name == "tiny" else 1.0
    labelled = data.model_copy(update={"num_classes": len(spec.class_names) or None})
    return replace(
        made,
        other_data=_name_of(data),
        base=_on(made.base, data, spec, share),
        classes=_on(made.classes, labelled, spec, share),
        widened=_on(made.widened, data, spec, share),
    )


def _on(config: Config, data: DataConfig, spec: DatasetSpec, share: float) -> Config:
    """On other data, with so large a share of the batch, and attention where its feature maps have such a width."""
    batch_size = max(1, round(share * config.training.batch_size))
    training = config.training.model_copy(update={"batch_size": batch_size})
    ours = config.network
    widths = [spec.size[-1] // 2**level for level in range(len(ours.channel_multipliers))]
    attending = tuple(width for width in ours.attention_resolutions if width in widths)
    if ours.attention_resolutions and not attending:
        attending = (widths[-1],)
    classes = ours.classes and data.num_classes is not None
    network = ours.model_copy(update={"attention_resolutions": attending, "classes": classes})
    return config.model_copy(update={"data": data, "training": training, "network": network})


def _name_of(data: DataConfig) -> str:
    """Fit for a file's name: digits, cifar10_train-16."""
    place = Path(data.source.rpartition(":")[2]).stem
    return place if data.size is None else f"{place}-{data.size}"


def quiet(config: Config) -> Config:
    """Without the looks at a run that nobody takes in an experiment."""
    training = config.training.model_copy(update={"validate_every": 0, "sample_every": 0})
    return config.model_copy(update={"training": training})


def tiny() -> Scale:
    """Crops of photographs, 8x8 pixels in 256 levels, and networks that learn in a minute; digits for two experiments.

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
    classes = digits.model_copy(update={"network": digits.network.model_copy(update={"classes": True})})
    shorter = digits.model_copy(update={"training": digits.training.model_copy(update={"steps": 1000})})
    widths = (8, 12, 16, 24)
    return Scale("tiny", quiet(base), quiet(classes), quiet(shorter), widths, 256, 0.02, 500, "100", 5, "uniform")


def small() -> Scale:
    """CIFAR-10 and a network of 10 million parameters: hours on one GPU."""
    base = preset("cifar10")
    network = base.network.model_copy(update={"channels": 64, "num_res_blocks": 2, "dropout": 0.1})
    training = base.training.model_copy(update={"steps": 50_000, "ema_rates": (0.9995,), "warmup_steps": 500})
    config = base.model_copy(update={"network": network, "training": training})
    labelled = config.model_copy(
        update={
            "network": network.model_copy(update={"classes": True}),
            "data": config.data.model_copy(update={"num_classes": 10}),
        }
    )
    widths = (32, 48, 64, 96)
    return Scale("small", quiet(config), quiet(labelled), quiet(config), widths, 1000, 0.01, 10_000, "250", 3)


def paper() -> Scale:
    """CIFAR-10 as the paper trained it; the paper's ImageNet runs are the same with --data and its presets."""
    base = preset("cifar10")
    network = base.network.model_copy(update={"norm_groups": 32})  # of narrower networks, too
    base = base.model_copy(update={"network": network})
    classes = preset("imagenet64-class")
    widths = (64, 96, 128, 192)
    return Scale("paper", quiet(base), quiet(classes), quiet(base), widths, 10_000, 0.003, 50_000, "250", 3)


def varied(
    base: Config,
    *,
    schedule: Literal["cosine", "linear"] = "cosine",
    num_timesteps: int | None = None,
    objective: ObjectiveName = "L_hybrid",
    timesteps: Literal["uniform", "low_discrepancy", "importance"] | None = None,
    channels: int | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    seed: int,
) -> Config:
    """`base` with what an experiment changes; L_vlb is trained by importance sampling, as in the paper."""
    diffusion = base.diffusion.model_copy(
        update={
            "schedule": schedule,
            "num_timesteps": num_timesteps or base.diffusion.num_timesteps,
            "variance": "fixed_small" if objective == "L_simple" else "learned_range",
        }
    )
    drawn = timesteps or ("importance" if objective == "L_vlb" else "uniform")
    kind = {"L_simple": "simple", "L_hybrid": "hybrid", "L_vlb": "vlb"}[objective]
    goal = ObjectiveConfig(kind=kind, timesteps=drawn, vlb_weight=base.objective.vlb_weight)
    network = base.network.model_copy(update={"channels": channels or base.network.channels})
    training = base.training.model_copy(
        update={
            "seed": seed,
            "steps": steps or base.training.steps,
            "learning_rate": learning_rate or base.training.learning_rate,
        }
    )
    changes = {"diffusion": diffusion, "objective": goal, "network": network, "training": training}
    return Config.model_validate(base.model_copy(update=changes).model_dump())
