"""`iddpm nll MODEL`: bits/dim of data under a model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from iddpm.cli.arguments import check_least, parsed, settings_as
from iddpm.cli.chains import StrideName, VarianceName, chosen_clip, chosen_steps, chosen_variance, told_steps
from iddpm.cli.models import load_for_use
from iddpm.cli.progress import counted, say, show
from iddpm.errors import Setting, UserError
from iddpm.names import Compile, Precision

if TYPE_CHECKING:
    from iddpm.data import Dataset
    from iddpm.diffusion.readings import Reading
    from iddpm.diffusion.respacing import Stride
    from iddpm.diffusion.reverse import Clip
    from iddpm.model import Model


@dataclass(frozen=True)
class NllArguments:
    """What to score, and how."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A run, one of its checkpoints, or a file of weights."""
    data: str | None = None
    """Another data source than the model's own: folder:PATH, zip:PATH, npz:PATH ... (all of it is scored)."""
    split: Literal["validation", "train"] | None = None
    """Which part of the model's own data. None takes validation."""
    count: int | None = None
    """Score the first so many items. None scores all, each exactly once."""
    steps: str | None = None
    """Steps of the chain: "50", sections "10,15,20", "ddim50" or "quadratic50". None takes all: the paper's figure."""
    stride: StrideName | None = None
    """Which of them. None takes those of iddpm plan where there is a plan, and uniform ones elsewhere."""
    error: float | None = None
    """Estimate from few terms, drawn at random, until the 95 % interval is within so many bits/dim: 0.01, say."""
    seed: int = 0
    """Of the noise: item i depends on the seed and on i alone."""
    variance: VarianceName = "model"
    """Of the reverse process: the model's own, a fixed one, what iddpm plan found, or the Jacobian's."""
    clip: bool = True
    """Bound predictions of x_0 to the range of the data, as the authors do."""
    threshold: float | None = None
    """Bound them by dynamic thresholding at this quantile. None cuts at the range of the data."""
    weights: str | None = None
    """raw, ema, or the rate of an average. None takes the first average."""
    preset: str | None = None
    """What the model is, for released files that do not say so."""
    batch_size: int = 128
    """Items scored at once."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "float32"
    """What the network computes in: float32 rounds nothing, tf32 and bfloat16 are faster and shift the figure."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU, for work that is long enough to pay for it."""
    json: bool = False
    """Print one JSON object, with every term."""


def run(words: Sequence[str]) -> int:
    """Score data; return the exit code."""
    with parsed(NllArguments, words, command="nll", description="Score data in bits/dim, term by term.") as arguments:
        return _run(arguments)


def _run(arguments: NllArguments) -> int:
    check_least(arguments, batch_size=1, seed=0)
    model = load_for_use(arguments.model, arguments.weights, arguments.preset, arguments.device)
    clip = chosen_clip(arguments.clip, arguments.threshold)
    data, name = _data(model, arguments)
    variance = chosen_variance(model, arguments.model, arguments.variance, clip=clip, seed=arguments.seed)
    steps = chosen_steps(
        model, arguments.model, arguments.steps, arguments.stride, clip=clip, variance=arguments.variance
    )
    diffusion = model.diffusion.strided(steps)
    if arguments.error is not None:
        return _estimate(arguments, model, data, name, steps, clip, variance)

    from iddpm.scoring.whole import ScoringOptions, scoring

    count = len(data) if arguments.count is None else arguments.count
    options = ScoringOptions(count, arguments.seed, clip, variance, arguments.batch_size)
    work = scoring(model, data, diffusion, options)
    calls = -(-count // arguments.batch_size) * len(diffusion.schedule)
    model.accelerate(calls=calls, precision=arguments.precision, compile=arguments.compile, tell=say)
    score = show(work)
    if arguments.json:
        facts = {
            "data": name,
            "steps": len(score.terms),
            "timesteps": diffusion.schedule.timesteps.tolist(),
            "clip": clip,
            "variance": arguments.variance,
            "seed": arguments.seed,
        }
        print(json.dumps({**facts, "weights": model.weights, "levels": model.spec.levels, **asdict(score)}))
        return 0
    print(f"bits/dim  {score.total.mean:.4f} +- {score.total.error:.4f}")
    for part, estimate in (("prior", score.prior), ("kl", score.kl), ("decoder", score.decoder)):
        print(f"  {part:<7} {estimate.mean:.4f} +- {estimate.error:.4f}")
    print(
        f"on {counted(score.count, 'item')} of {name} in {model.spec.levels} levels,"
        f" {told_steps(steps, len(score.terms))}, {model.weights} weights{_told_changes(arguments)}"
    )
    return 0


def _estimate(
    arguments: NllArguments,
    model: Model,
    data: Dataset,
    name: str,
    stride: Stride | None,
    clip: Clip,
    variance: Reading | None,
) -> int:
    """What `--error` asks for."""
    from iddpm.scoring.budget import estimating, least_evaluations
    from iddpm.scoring.whole import ScoringOptions

    assert arguments.error is not None
    if not 0 < arguments.error < math.inf:
        value = f"{arguments.error:g}"
        raise UserError("must be above 0 and finite", field="error", value=value, way="0.01 bits/dim is usual")
    diffusion = model.diffusion.strided(stride)
    items, steps = len(data) if arguments.count is None else arguments.count, len(diffusion.schedule)
    if 0 < items * steps < least_evaluations(steps, items):
        whole = f"the whole bound of {counted(items, 'item')} in {counted(steps, 'step')}"
        raise UserError(f"{whole} takes less", field="error", way="leave it out")
    model.accelerate(calls=100, precision=arguments.precision, compile=arguments.compile, tell=say)
    options = ScoringOptions(arguments.count, arguments.seed, clip, variance, arguments.batch_size)
    found = show(estimating(model, data, diffusion, options, error=arguments.error))
    if found.half_width > arguments.error:
        say(f"nll: within {found.half_width:.4f}; more would take as long as the whole bound (leave --error out)")
    if arguments.json:
        facts = {
            "data": name,
            "steps": len(diffusion.schedule),
            "timesteps": diffusion.schedule.timesteps.tolist(),
            "clip": clip,
            "variance": arguments.variance,
            "seed": arguments.seed,
        }
        print(json.dumps({**facts, "weights": model.weights, "levels": model.spec.levels, **asdict(found)}))
        return 0
    print(f"bits/dim  {found.mean:.4f} +- {found.half_width:.4f} (95 % interval of the mean over these items)")
    print(
        f"on {counted(found.count, 'item')} of {name} in {model.spec.levels} levels, {told_steps(stride, steps)},"
        f" {model.weights} weights{_told_changes(arguments)}; {found.evaluations} evaluations of the network, where"
        f" the whole bound takes {found.of_all}"
    )
    return 0


def _told_changes(arguments: NllArguments) -> str:
    """What makes the figure another one than the model's own."""
    changes = "" if arguments.variance == "model" else f", {arguments.variance} variance"
    if arguments.threshold is not None:
        return f"{changes}, clipping at the quantile {arguments.threshold:g}"
    return changes if arguments.clip else f"{changes}, no clipping"


def _data(model: Model, arguments: NllArguments) -> tuple[Dataset, str]:
    from iddpm.cli.data_flags import open_with_progress
    from iddpm.data.opening import heeded

    own = model.config.data
    if arguments.data is not None:
        if arguments.split is not None:
            way = ("leave it or ", Setting("data"), " out")
            raise UserError(f"{arguments.split} is a part of the model's own data", field="split", way=way)
        settings: dict[str, object] = {"source": arguments.data, "validation": 0.0, "num_classes": None}
        with settings_as({"data.source": "data"}):
            return open_with_progress(heeded(own.model_copy(update=settings))).train, arguments.data
    splits = open_with_progress(own)
    part = arguments.split or "validation"
    chosen = splits.validation if part == "validation" else splits.train
    if chosen is None:
        own_part, other = Setting("split", "train"), Setting("data")
        raise UserError("the model's data has no held-out part", field="split", way=("use ", own_part, " or ", other))
    return chosen, f"{own.source} ({part})"
