"""Bits/dim of data, from the whole bound or estimated from few of its terms."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from iddpm.cli.arguments import settings_as
from iddpm.cli.commands.nll import NllArguments
from iddpm.cli.data_flags import open_with_progress
from iddpm.cli.progress import counted, say, show
from iddpm.cli.work.chain import accelerate, clip_of, load_model, reading_of, scoring_stride, told_steps
from iddpm.data import Dataset
from iddpm.data.opening import heeded
from iddpm.diffusion import Diffusion
from iddpm.errors import Setting, UserError
from iddpm.model import Model
from iddpm.names import MODEL
from iddpm.scoring.budget import BoundEstimate, estimating, least_evaluations
from iddpm.scoring.whole import LikelihoodScore, ScoringOptions, scoring


def score(arguments: NllArguments) -> int:
    """Score data and print the bound; return the exit code."""
    model = load_model(arguments.model, arguments)
    clip = clip_of(arguments)
    with settings_as({"data.source": "data"}):
        data, name = _data(model, arguments)
        reading = reading_of(arguments, model, arguments.model, clip)
        stride = scoring_stride(arguments, model, arguments.model, clip)
        diffusion = model.diffusion.strided(stride)
        options = ScoringOptions(arguments.count, arguments.seed, clip, reading, arguments.batch_size)
        items, steps = options.rows(data), len(diffusion.schedule)
        result: LikelihoodScore | BoundEstimate
        if arguments.error is None:
            accelerate(model, arguments, calls=-(-items // arguments.batch_size) * steps)
            result = show(scoring(model, data, diffusion, options))
            lines = _lines(result)
            end = ""
        else:
            result = _estimate(arguments.error, arguments, model, data, diffusion, options)
            lines = [
                f"bits/dim  {result.mean:.4f} +- {result.half_width:.4f} (95 % interval of the mean over these items)"
            ]
            end = f"; {result.evaluations} evaluations of the network, where the whole bound takes {result.of_all}"
    if arguments.json:
        facts = {
            "data": name,
            "steps": steps,
            "timesteps": diffusion.schedule.timesteps.tolist(),
            "clip": clip,
            "variance": arguments.variance,
            "seed": arguments.seed,
            "weights": model.weights,
            "precision": model.precision,
            "levels": model.spec.levels,
        }
        print(json.dumps({**facts, **asdict(result)}))
        return 0
    where = f"on {counted(items, 'item')} of {name} in {model.spec.levels} levels"
    lines.append(f"{where}, {told_steps(stride, steps)}, {model.weights} weights{_told_changes(arguments)}{end}")
    print("\n".join(lines))
    return 0


def _lines(score: LikelihoodScore) -> list[str]:
    parts = {"bits/dim": score.total, "  prior": score.prior, "  kl": score.kl, "  decoder": score.decoder}
    return [f"{name:<9} {part.mean:.4f} +- {part.error:.4f}" for name, part in parts.items()]


def _estimate(
    error: float, arguments: NllArguments, model: Model, data: Dataset, diffusion: Diffusion, options: ScoringOptions
) -> BoundEstimate:
    """Estimate the bound to within an error, if that is less work than the whole bound."""
    if not 0 < error < math.inf:
        raise UserError("must be above 0 and finite", field="error", value=f"{error:g}", way="0.01 bits/dim is usual")
    items, steps = options.rows(data), len(diffusion.schedule)
    if items * steps < least_evaluations(steps, items):
        whole = f"the whole bound of {counted(items, 'item')} in {counted(steps, 'step')}"
        raise UserError(f"{whole} takes less", field="error", way="leave it out")
    accelerate(model, arguments, calls=100)
    estimate = show(estimating(model, data, diffusion, options, error=error))
    if estimate.half_width > error:
        say(f"nll: within {estimate.half_width:.4f}; more would take as long as the whole bound (leave --error out)")
    return estimate


def _told_changes(arguments: NllArguments) -> str:
    """Return what makes the figure another one than the model's own, in words."""
    changes = "" if arguments.variance == MODEL else f", {arguments.variance} variance"
    if arguments.threshold is not None:
        return f"{changes}, clipping at the quantile {arguments.threshold:g}"
    return changes if arguments.clip else f"{changes}, no clipping"


def _data(model: Model, arguments: NllArguments) -> tuple[Dataset, str]:
    """Return the data to score, and its name."""
    own = model.config.data
    if arguments.data is not None:
        if arguments.split is not None:
            way = ("leave it or ", Setting("data"), " out")
            raise UserError(f"{arguments.split} is a part of the model's own data", field="split", way=way)
        changes = {"source": arguments.data, "validation": 0.0, "num_classes": None}
        return open_with_progress(heeded(own.model_copy(update=changes))).train, arguments.data
    splits = open_with_progress(own)
    part = arguments.split or "validation"
    data = splits.validation if part == "validation" else splits.train
    if data is None:
        own_part, other = Setting("split", "train"), Setting("data")
        raise UserError("the model's data has no held-out part", field="split", way=("use ", own_part, " or ", other))
    return data, f"{own.source} ({part})"
