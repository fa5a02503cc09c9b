"""The names that the configuration, flags and code share, each with its row in a registry. No torch in here.

To add a member: write its file, and give it a row below (or `register` it from anywhere).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from iddpm.registry import Registry, Row

Precision = Literal["auto", "float32", "tf32", "bfloat16"]
"""Precision that a network computes in: float32 rounds nothing; tf32 lets a GPU round what it multiplies to 10 bits;

bfloat16 computes the network's layers (not the diffusion, the loss or the weights) in 8 bits, on a GPU or a CPU made
for it.
"""
Compile = Literal["auto", "on", "off"]
"""Use torch's compiler: auto does on a GPU, for work that is long enough to pay for it."""

_SCHEDULES = "iddpm.diffusion.schedules"
SCHEDULES: Registry[Any] = Registry(
    "schedule",
    "diffusion.schedule",
    {
        "cosine": Row("the paper's: alpha_bar follows cos^2 (Eq. 17)", f"{_SCHEDULES}.cosine:Cosine"),
        "linear": Row("Ho et al.'s linear betas", f"{_SCHEDULES}.linear:Linear"),
    },
)

_PARAMETERIZATION = "iddpm.diffusion.parameterization"
PREDICTIONS: Registry[Any] = Registry(
    "prediction",
    "diffusion.prediction",
    {
        "eps": Row("the noise in x_t: the paper's choice", f"{_PARAMETERIZATION}:Noise"),
        "x_0": Row("the data itself", f"{_PARAMETERIZATION}:Data"),
        "v": Row("the velocity (Salimans & Ho 2022)", f"{_PARAMETERIZATION}:Velocity"),
        "x_prev": Row("the mean of x_{t-1}", f"{_PARAMETERIZATION}:Previous"),
    },
)
VARIANCES: Registry[Any] = Registry(
    "variance",
    "diffusion.variance",
    {
        "fixed_small": Row("beta-tilde", f"{_PARAMETERIZATION}:FixedSmall", {"is_learned": False}),
        "fixed_large": Row("beta", f"{_PARAMETERIZATION}:FixedLarge", {"is_learned": False}),
        "learned": Row("log sigma^2 itself is learned", f"{_PARAMETERIZATION}:Learned", {"is_learned": True}),
        "learned_range": Row(
            "the paper's: between beta-tilde and beta (Eq. 15)",
            f"{_PARAMETERIZATION}:LearnedRange",
            {"is_learned": True},
        ),
    },
)

_OBJECTIVES = "iddpm.diffusion.objectives"
OBJECTIVES: Registry[Any] = Registry(
    "objective",
    "objective.kind",
    {
        "hybrid": Row("L_simple + lambda L_vlb (Eq. 16)", f"{_OBJECTIVES}.hybrid:Hybrid", {"learned_variance": True}),
        "simple": Row("L_simple (Eq. 14)", f"{_OBJECTIVES}.simple:Simple", {"learned_variance": False}),
        "vlb": Row("L_vlb (Eq. 4)", f"{_OBJECTIVES}.vlb:VLB"),
    },
)
"""Fact `learned_variance`: True for an objective that needs one, False for one that cannot teach one."""

TIMESTEP_SAMPLERS: Registry[Any] = Registry(
    "timestep sampler",
    "objective.timesteps",
    {
        "uniform": Row("every step alike", "iddpm.diffusion.timesteps:Uniform"),
        "low_discrepancy": Row("evenly spread within each batch", "iddpm.diffusion.timesteps:LowDiscrepancy"),
        "importance": Row(
            "the paper's, by the loss's second moment (Eq. 18)", "iddpm.diffusion.timesteps:LossSecondMoment"
        ),
    },
)

_SAMPLERS = "iddpm.diffusion.samplers"
SAMPLERS: Registry[Any] = Registry(
    "sampler",
    "sampler",
    {
        "ancestral": Row("ancestral sampling", f"{_SAMPLERS}.ancestral:Ancestral", {"uses_variance": True}),
        "ddim": Row("DDIM", f"{_SAMPLERS}.ddim:DDIM"),
        "dpm++": Row("DPM-Solver++ 2M", f"{_SAMPLERS}.dpm_solver:DPMSolver"),
        "dpm++sde": Row("DPM-Solver++ 2M, SDE", f"{_SAMPLERS}.dpm_solver:DPMSolverSDE"),
        "unipc": Row("UniPC", f"{_SAMPLERS}.unipc:UniPC"),
    },
)
"""Fact `uses_variance`: the sampler draws from p(x_{t-1} | x_t), so that another variance can be chosen for it."""

MODEL = "model"
"""The variance that a network was made with, among the names of READINGS."""
READINGS: Registry[Any] = Registry(
    "reading",
    "variance",
    {
        "fixed_small": Row("fixed variance beta-tilde", "iddpm.diffusion.readings.fixed:FixedSmallReading"),
        "fixed_large": Row("fixed variance beta", "iddpm.diffusion.readings.fixed:FixedLargeReading"),
        "analytic": Row(
            "variance from errors on held-out data, by step",
            "iddpm.diffusion.readings.error_table:ErrorTable",
            {"planned": True},
        ),
        "calibrated": Row(
            "variance from errors on held-out data, by step and by the network's own variance",
            "iddpm.diffusion.readings.error_table:ErrorTable",
            {"planned": True},
        ),
        "jacobian": Row(
            "variance from the prediction's Jacobian",
            "iddpm.diffusion.readings.jacobian:Jacobian",
            {"evaluations": 2, "seeded": True},
        ),
    },
)
"""Fact `planned`: `iddpm plan` makes it; others are made of nothing, or of a seed (fact `seeded`).

Fact `evaluations`: of the network, a step (1 unless it says so).
"""

STRIDES: Registry[Any] = Registry(
    "stride",
    "stride",
    {
        "uniform": Row("evenly spaced steps", "iddpm.diffusion.respacing:evenly_spaced", {"prefix": ""}),
        "ddim": Row("every n-th step", "iddpm.diffusion.respacing:every_nth", {"prefix": "ddim", "usual": False}),
        "quadratic": Row("quadratic steps", "iddpm.diffusion.respacing:quadratic", {"prefix": "quadratic"}),
    },
)
"""Fact `prefix`: what stands before the number of steps in a stride's text ("ddim50"; the name, unless it says so).

Fact `usual`: False for one that is nearly another, which `iddpm steps` tries only when it is asked to.
"""
PLANNED = "planned"
"""The stride that a plan gives, beside the names of STRIDES."""

CONDITIONS: Registry[Any] = Registry(
    "condition",
    "network.conditions",
    {
        "classes": Row(
            "the class, by name or number; without it all classes in turn",
            "iddpm.conditions.classes:Classes",
            {"flag": "class", "labels": True},
        ),
        "low_resolution": Row(
            "the images that an upsampler enlarges, as a data source (folder:PATH, npz:PATH ...)",
            "iddpm.conditions.low_resolution:LowResolution",
        ),
    },
)
"""Fact `flag`: the flag of `iddpm sample` that gives it, if it is not the name.

Fact `labels`: its values number the classes of the data, so that files of samples can be named after them.
"""

_FORMATS = "iddpm.checkpoints.formats"
FORMATS: Registry[Any] = Registry(
    "checkpoint format",
    "format",
    {
        "native": Row("our own names", f"{_FORMATS}.native:Native"),
        "openai": Row("the authors' (openai/improved-diffusion)", f"{_FORMATS}.openai:OpenAI"),
    },
)

BACKENDS: Registry[Any] = Registry(
    "backend",
    "backend",
    {
        "alone": Row("one process", "iddpm.training.running.alone:Alone"),
        "ddp": Row("processes that share each batch (DistributedDataParallel)", "iddpm.training.running.ddp:DDP"),
    },
)

_COMMANDS = "iddpm.cli.commands"
_MODEL, _RESUMABLE = {"loads_network": True}, {"resumable": True}
COMMANDS: Registry[Callable[[Sequence[str]], int]] = Registry(
    "command",
    "command",
    {
        "train": Row("train a model, or go on training one", f"{_COMMANDS}.train:run", _MODEL | _RESUMABLE),
        "sample": Row("draw samples: a grid, a folder of pictures, or an npz file", f"{_COMMANDS}.sample:run", _MODEL),
        "nll": Row("score data in bits/dim, term by term", f"{_COMMANDS}.nll:run", _MODEL),
        "plan": Row("choose the best few steps by the bound itself", f"{_COMMANDS}.plan:run", _MODEL | _RESUMABLE),
        "evaluate": Row(
            "judge samples: FD, precision, recall and more, with error bars", f"{_COMMANDS}.evaluate:run", _MODEL
        ),
        "reference": Row("store what evaluations need of a reference, once", f"{_COMMANDS}.reference:run"),
        "compare": Row("put evaluations side by side", f"{_COMMANDS}.compare:run"),
        "steps": Row(
            "judge quality against the number of steps, for every sampler",
            f"{_COMMANDS}.steps:run",
            _MODEL | _RESUMABLE,
        ),
        "reproduce": Row(
            "make one of the paper's tables or figures, from training to verdicts",
            f"{_COMMANDS}.reproduce:run",
            _MODEL | _RESUMABLE,
        ),
        "info": Row("describe a model, a configuration or a preset", f"{_COMMANDS}.info:run"),
        "report": Row("write one page about a run: samples, curves, bits/dim", f"{_COMMANDS}.report:run", _MODEL),
        "bench": Row("measure how fast this machine trains, samples and scores", f"{_COMMANDS}.bench:run", _MODEL),
    },
)
"""Members take the words after the command's name and return the exit code.

Fact `loads_network`: kernels are compiled while torch loads. Fact `resumable`: the same command again goes on.
"""
_SOURCES = "iddpm.data.sources"
_FILES = {"heeds": ("size", "channels", "skip_broken", "resize_filter")}
_ARRAYS = {"heeds": ("levels", "dimensions", "channels_first"), "path": "file"}
SOURCES: Registry[Any] = Registry(
    "source",
    "data.source",
    {
        "digits": Row("1,797 handwritten digits of 8x8 pixels", f"{_SOURCES}.digits:Digits"),
        "photos": Row("crops of two photographs", f"{_SOURCES}.photos:Photos", {"heeds": ("size",)}),
        "folder": Row(
            "the files in a folder", f"{_SOURCES}.folder:Folder", {"path": "folder", "endings": ("/",), **_FILES}
        ),
        "zip": Row(
            "the files in a zip archive", f"{_SOURCES}.zip:Zip", {"path": "file", "endings": (".zip",), **_FILES}
        ),
        "npz": Row("arrays of items and labels", f"{_SOURCES}.npz:Npz", {"endings": (".npz",), **_ARRAYS}),
        "npy": Row("an array of items", f"{_SOURCES}.npy:Npy", {"endings": (".npy",), **_ARRAYS}),
    },
)
"""Facts: `path`, what PATH of NAME:PATH is ("folder", "file", or None if there is none); `endings`, of a bare path that

is read by this source ("/" is that of every folder); `heeds`, the fields of DataConfig that say how it is read.
"""

_KINDS = "iddpm.data.kinds"
KINDS: Registry[Any] = Registry(
    "kind of data",
    "dataset.kind",
    {
        "pictures": Row("2 dimensions", f"{_KINDS}.pictures:Pictures", {"dimensions": 2}),
        "sounds": Row("1 dimension", f"{_KINDS}.sounds:Sounds", {"dimensions": 1}),
        "volumes": Row("3 dimensions", f"{_KINDS}.volumes:Volumes", {"dimensions": 3}),
    },
)
"""Fact `dimensions`: data of so many is of this kind if its source names none."""


def _metric(good: str, place: str, title: str | None = None, inception: str | None = None) -> Row:
    """Return the row of a score: what is good, its class, and its titles (the second one on Inception's features)."""
    titles = {"title": title, "inception": inception or title}
    return Row(good, f"iddpm.evaluation.metrics.{place}", {name: text for name, text in titles.items() if text})


METRICS: Registry[Any] = Registry(
    "metric",
    "metric",
    {
        "frechet": _metric("0 is best; larger for fewer images", "frechet:Frechet", "FD", "FID"),
        "frechet_infinite": _metric(
            "0 is best", "frechet:Frechet", "FD, infinitely many samples", "FID, infinitely many samples"
        ),
        "spatial_frechet": _metric("0 is best; larger for fewer images", "frechet:Frechet", "sFD", "sFID"),
        "kernel": _metric("0 is best", "kernel:Kernel", "KD", "KID"),
        "inception": _metric(
            "best as the real images'", "inception_score:InceptionScore", "classifier score", "Inception score"
        ),
        "precision": _metric("1 is best", "manifolds:NearestNeighbours"),
        "recall": _metric("1 is best", "manifolds:NearestNeighbours"),
        "density": _metric("1 is best", "manifolds:NearestNeighbours"),
        "coverage": _metric("1 is best", "manifolds:NearestNeighbours"),
        "authenticity": _metric("copies have 0", "manifolds:NearestNeighbours"),
    },
)
"""Scores of images, in the order in which results show them: `about` is what is good, and the member a `Metric`."""

_PAPER = "iddpm.experiments.paper"
EXPERIMENTS: Registry[Any] = Registry(
    "experiment",
    "name",
    {
        "schedules": Row(
            "linear and cosine: alpha-bar, and quality when a share of the chain's noisy end is skipped",
            f"{_PAPER}.schedules:Schedules",
        ),
        "bound-by-step": Row(
            "terms of the bound against t, and posterior variances", f"{_PAPER}.bound_by_step:BoundByStep"
        ),
        "ablation": Row("Tables 1 and 2: T, schedule and objective", f"{_PAPER}.ablation:Ablation"),
        "gradient-noise": Row(
            "L_vlb with uniform and importance-sampled timesteps, and L_hybrid",
            f"{_PAPER}.gradient_noise:GradientNoise",
        ),
        "likelihood": Row(
            "Table 3: beside a convolutional autoregressive model and a transformer",
            f"{_PAPER}.likelihood:Likelihood",
        ),
        "sampling-speed": Row("FD against the number of sampling steps", f"{_PAPER}.sampling_speed:SamplingSpeed"),
        "coverage": Row(
            "Table 4: precision and recall beside a GAN", f"{_PAPER}.coverage:Coverage", {"takes_samples": True}
        ),
        "scaling": Row("FD and bits/dim against training compute, for four widths", f"{_PAPER}.scaling:Scaling"),
    },
)
"""The members of `iddpm reproduce`. Fact `takes_samples`: it judges other models' samples too."""
SCALES: Registry[Any] = Registry(
    "scale",
    "scale",
    {
        "tiny": Row("for two CPU cores", "iddpm.experiments.scales:tiny"),
        "small": Row("for a GPU", "iddpm.experiments.scales:small"),
        "paper": Row("as the paper trained", "iddpm.experiments.scales:paper"),
    },
)
"""Sizes of experiments."""
