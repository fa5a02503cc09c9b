"""The configuration: frozen, validated, JSON in and out, and every field a flag. No torch in here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from iddpm.errors import Setting, UserError
from iddpm.names import KINDS, OBJECTIVES, PREDICTIONS, SCHEDULES, TIMESTEP_SAMPLERS, VARIANCES, Compile, Precision
from iddpm.registry import OneOf
from iddpm.versions import VERSIONS

READABLE = (1, VERSIONS["configuration"])
"""Versions of configurations and models' descriptions that are understood; another one is refused, not guessed at.

In the first one all normalisation was in 32 groups, or as many as divide the channels.
"""

Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


def by(size: Iterable[int]) -> str:
    """Return a size as people write it: 64x48."""
    return "x".join(map(str, size))


def _checked_size(size: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    if size is None:
        return None
    sides = (size,) if isinstance(size, int) else size
    if not sides or min(sides) < 1:
        raise UserError("should be whole numbers from 1 on", field="data.size", value=by(sides) or "none")
    return sides[0] if len(sides) == 1 else sides


Size = Annotated[int | tuple[int, ...] | None, AfterValidator(_checked_size)]
"""One number for all axes, or a number an axis. (Written in one union, which tyro needs.)"""


class Section(BaseModel):
    """Part of a configuration: frozen, and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def with_changes(self, **changes: Any) -> Self:
        """Return a copy with other values, validated: `config.with_changes(training={"steps": 5})`.

        A dictionary changes some fields of a section. UserError naming the field for values that cannot be.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        for name, value in changes.items():
            section = values.get(name)
            is_part = isinstance(section, Section) and isinstance(value, dict)
            values[name] = {**section.model_dump(), **value} if is_part else value  # type: ignore[union-attr]
        try:
            return type(self).model_validate(values)
        except ValidationError as error:
            raise mistake(error) from None


class DatasetSpec(Section):
    """The form of a dataset: all that a model needs to know of it."""

    channels: Count
    """Channels of an item: 1 for grey images, 3 for colour."""
    size: tuple[Count, ...]
    """Its size, one number a dimension."""
    levels: Annotated[int, Field(ge=2, le=65536)] = 256
    """Number of values that a pixel can take: 256 for 8-bit images, 17 for scikit-learn's digits."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of their labels; empty without labels."""
    kind: Annotated[str, OneOf(KINDS)] | None = None
    """Kind of data: pictures, sounds, volumes. None goes by the number of dimensions."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the channels and the size."""
        return (self.channels, *self.size)

    @property
    def num_dims(self) -> int:
        """Return the number of values that bits/dim is a mean over."""
        return math.prod(self.shape)


class DataConfig(Section):
    """The data to learn from."""

    source: str = "digits"
    """digits, photos, folder:PATH, zip:PATH, npz:PATH or npy:PATH."""
    size: Size = None
    """Pixels that pictures are resized and centre-cropped to: a side, or height and width. None keeps theirs."""
    channels: Count | None = None
    """1 makes pictures grey, 3 makes them RGB. None keeps what they are."""
    dimensions: Literal[1, 2, 3] = 2
    """Dimensions of an item in an array (npz, npy): 1 for sounds, 2 for pictures, 3 for volumes."""
    channels_first: bool = False
    """Arrays are [items, channels, ...] rather than [items, ..., channels]."""
    levels: Annotated[int, Field(ge=2, le=65536)] | None = None
    """Number of values that an array's entries can take, 0 ... levels - 1. None means 256. Pictures always have 256."""
    num_classes: Count | None = None
    """Number of classes that the data must have. None takes what it has."""
    validation: Share = 0.1
    """Share of the data that is held out (photos: a region of them)."""
    flip: bool = False
    """Train on mirror images too."""
    skip_broken: bool = False
    """Go on without files that cannot be read or are too small."""
    resize_filter: Literal["lanczos", "bicubic", "box"] = "lanczos"
    """The antialiasing filter that pictures are made smaller with."""

    @model_validator(mode="after")
    def _has_a_side_an_axis(self) -> Self:
        if isinstance(self.size, tuple) and len(self.size) != self.dimensions:
            way = (f"give 1 number or {self.dimensions}, or set ", Setting("data.dimensions", len(self.size)))
            raise UserError("has another number of axes than the data", field="data.size", value=by(self.size), way=way)
        return self

    def sides(self, dimensions: int) -> tuple[int, ...] | None:
        """Return `size` as a number an axis, of so many axes; None if it is not stated."""
        return (self.size,) * dimensions if isinstance(self.size, int) else self.size

    def expected_spec(self) -> DatasetSpec | None:
        """Return the dataset's form as far as the configuration alone tells; None if it does not."""
        size = self.sides(self.dimensions)
        if size is None or self.channels is None:
            return None
        names = tuple(str(label) for label in range(self.num_classes or 0))
        return DatasetSpec(channels=self.channels, size=size, levels=self.levels or 256, class_names=names)


class DiffusionConfig(Section):
    """The chain, and what the network's output means."""

    schedule: Annotated[str, OneOf(SCHEDULES)] = "cosine"
    """Rule by which noise grows along the chain."""
    num_timesteps: Count = 4000
    """T, the length of the chain that is trained on."""
    cosine_offset: Annotated[float, Field(ge=0, le=100)] | None = None
    """The paper's s. None follows the paper's rule for the data's grey levels: 0.008 for 256 of them."""
    prediction: Annotated[str, OneOf(PREDICTIONS)] = "eps"
    """Prediction that the network makes."""
    variance: Annotated[str, OneOf(VARIANCES)] = "learned_range"
    """The variance of a reverse step; learned_range is the paper's."""
    rescale_timesteps: bool = True
    """Show the network timesteps scaled to 0 ... 1000, whatever T. The authors' models differ in this."""


class ObjectiveConfig(Section):
    """The loss that is minimised, and the timesteps that it is taken at."""

    kind: Annotated[str, OneOf(OBJECTIVES)] = "hybrid"
    """L_hybrid, L_simple or L_vlb."""
    vlb_weight: Annotated[float, Field(gt=0)] = 0.001
    """lambda of L_hybrid = L_simple + lambda L_vlb, where L_vlb is the whole T-term bound in bits/dim."""
    timesteps: Annotated[str, OneOf(TIMESTEP_SAMPLERS)] = "uniform"
    """Rule by which timesteps are drawn; importance is the paper's, by the loss's second moment."""


class NetworkConfig(Section):
    """The U-Net."""

    channels: Count = 64
    """Width of its first level."""
    channel_multipliers: tuple[Count, ...] = (1, 2)
    """Width of each level, in multiples of `channels`; every further level halves the size."""
    num_res_blocks: Count = 2
    """Residual blocks a level."""
    attention_resolutions: tuple[Count, ...] = ()
    """Widths of feature maps, in pixels, that get attention."""
    num_heads: Count = 4
    """Heads of the attention."""
    num_heads_up: Count | None = None
    """Heads on the way up, where they differ."""
    dropout: Share = 0.0
    """Dropout in the residual blocks."""
    scale_shift_norm: bool = True
    """Timesteps scale and shift normalised features (the paper's); otherwise they are added before."""
    norm_groups: Count | None = None
    """Groups of channels that are normalised together. None takes 32, or fewer, so that each has 4 channels or more."""
    convolutional_resampling: bool = True
    """Strided convolutions; otherwise averaging and repeating."""
    halve_depth: bool = False
    """Halve the first axis of volumes as well as the other two."""
    classes: bool = False
    """Condition on the data's labels."""
    low_resolution: Count | None = None
    """Side of the low-resolution images that an upsampler enlarges. None makes no upsampler."""
    conditions: tuple[str, ...] = ()
    """Further conditions by name, each with its argument, if it takes one, after "=": vector=8."""
    recompute_activations: bool = False
    """Spend a second forward pass to save memory (activation checkpointing)."""


class TrainingConfig(Section):
    """The optimization and its records."""

    steps: Count = 100_000
    """Optimizer steps, after which training ends."""
    batch_size: Count = 128
    """Images an optimizer step, over all processes."""
    microbatch_size: Count | None = None
    """Images a forward pass; smaller ones save memory and change nothing in the result (but dropout's masks)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """AdamW's."""
    warmup_steps: NonNegative = 0
    """Steps over which the learning rate rises from zero."""
    decay: bool = False
    """Lower the learning rate linearly to zero at the last step."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient. None leaves it as it is."""
    ema_rates: tuple[Rate, ...] = (0.9999,)
    """Rates of the weights' moving averages. The first one is what is sampled from."""
    ema_warmup: bool = True
    """Average over fewer steps at first, so that an early average is not the initial weights."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of everything random: the same seed gives the same run."""
    precision: Precision = "auto"
    """Precision that the network computes in: auto is bfloat16 on a GPU that has it, float32 elsewhere."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU, for a run that is long enough to pay for it."""
    log_every: Count = 100
    """Steps between records in metrics.jsonl."""
    validate_every: NonNegative = 5000
    """Steps between validations in bits/dim; 0 never."""
    validate_count: Count = 256
    """Held-out images a validation, at most."""
    validate_steps: str | None = "50"
    """Steps of the chain (a stride) that validations take. None takes all."""
    sample_every: NonNegative = 5000
    """Steps between grids of samples; 0 never."""
    sample_count: Count = 36
    """Samples a grid."""
    sample_steps: str | None = "50"
    """Steps of the chain (a stride) that grids take. None takes all."""
    checkpoint_every: Count = 5000
    """Steps between checkpoints; there is one at the end, and at an interruption, in any case."""
    keep_checkpoints: Count = 3
    """Number of the newest checkpoints that stay, and of the newest that are due every `checkpoint_every` steps."""


class Config(Section):
    """A whole run."""

    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        kind, variance = self.objective.kind, self.diffusion.variance
        learned = VARIANCES.fact(variance, "is_learned", False)
        needs = OBJECTIVES.fact(kind, "learned_variance")
        if needs not in (None, learned):
            teaches = "teaches a variance" if needs else "teaches no variance"
            others = [name for name in OBJECTIVES if OBJECTIVES.fact(name, "learned_variance") in (None, learned)]
            fits = [name for name in VARIANCES if VARIANCES.fact(name, "is_learned", False) == needs]
            what = (f"{kind} {teaches}, unlike ", Setting("diffusion.variance", variance))
            way = ("use ", Setting("objective.kind", " or ".join(others)), ", or ")
            raise UserError(what, field="objective.kind", way=(*way, Setting("diffusion.variance", " or ".join(fits))))
        if self.diffusion.schedule != "cosine" and self.diffusion.cosine_offset is not None:
            what = ("belongs to the cosine schedule, unlike ", Setting("diffusion.schedule", self.diffusion.schedule))
            raise UserError(what, field="diffusion.cosine_offset", way="leave it out")
        if not self.training.ema_rates:
            rates = Setting("training.ema_rates", 0.9999)
            raise UserError("needs at least one rate", field="training.ema_rates", way=("use ", rates))
        low, size = self.network.low_resolution, self.data.sides(self.data.dimensions)
        if low is not None and any(low >= side or side % low for side in size or ()):
            what = ("must be a proper divisor of ", Setting("data.size", by(size or ())))
            raise UserError(what, field="network.low_resolution", value=low)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the format's version."""
        return {"format": VERSIONS["configuration"], **self.model_dump(mode="json")}

    @classmethod
    def from_json(cls, values: object, file: str) -> Config:
        """Return the configuration that `to_json` gave; UserError naming `file` for anything else."""
        if not isinstance(values, dict):
            way = ("write one with: iddpm info ", Setting("preset", "digits"), " ", Setting("json"))
            raise UserError(f"{file}: holds no configuration", way=way)
        version = check_version(values.get("format", VERSIONS["configuration"]), file)
        if version == 1 and isinstance(network := values.get("network"), dict):
            values = {**values, "network": {"norm_groups": 32, **network}}
        try:
            return cls.model_validate({key: value for key, value in values.items() if key != "format"})
        except ValidationError as error:
            raise UserError(f"{file}: {mistake(error)}") from None


def check_version(version: object, file: str) -> object:
    """Return the version of a configuration or description; UserError for one that is not understood."""
    if version not in READABLE:
        what = f"{file}: has format version {version}, and this iddpm reads versions up to {READABLE[-1]}"
        raise UserError(what, way="use the iddpm that wrote it")
    return version


def load_config(path: Path) -> Config:
    """Return the configuration in a JSON file; UserError for one that is missing or wrong."""
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is no readable JSON ({error})") from None
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    if isinstance(values, dict):
        values.pop("dataset", None)  # a run's config.json also says what its data was
    return Config.from_json(values, str(path))


def mistake(error: ValidationError, prefix: Sequence[str] = ()) -> UserError:
    """Return the first mistake that pydantic found; `prefix` is where the model stands in a larger one."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, UserError):  # from a rule between fields, which names them itself
        return own
    field = ".".join([*prefix, *(str(part) for part in first["loc"])]) or None
    if first["type"] == "extra_forbidden":
        return UserError("there is no such field", field=field)
    if first["type"] == "value_error":
        return UserError(str(own), field=field)
    message = first["msg"].replace("Input should", "should")
    return UserError(f"{message[0].lower()}{message[1:]}", field=field, value=repr(first["input"]))
