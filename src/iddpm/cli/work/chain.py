"""The model of a command, and the way its chain is walked."""

from __future__ import annotations

import os
from pathlib import Path

from iddpm.acceleration import choose_device
from iddpm.checkpoints.loading import load
from iddpm.checkpoints.run import plan_path
from iddpm.cli.arguments import settings_as
from iddpm.cli.model_flags import Chain, Clipping, Drawing, RunsOn, Weights
from iddpm.cli.progress import counted, say
from iddpm.diffusion.readings import Reading, reading_named
from iddpm.diffusion.respacing import Stride, named_stride
from iddpm.diffusion.reverse import Clip
from iddpm.errors import Setting, UserError
from iddpm.few_steps.plan import StoredPlan
from iddpm.model import Model
from iddpm.names import MODEL, PLANNED, READINGS
from iddpm.presets import preset
from iddpm.sampling import SamplerOptions, check_reading


def load_model(path: str, arguments: Weights) -> Model:
    """Return the model at `path` on its device; UserError if it cannot be had."""
    device = choose_device(arguments.device)
    config = None if arguments.preset is None else preset(arguments.preset)
    with settings_as({"config": "preset"}):
        return load(Path(path), weights=arguments.weights, config=config).to(device)


def accelerate(model: Model, arguments: RunsOn, *, calls: int) -> None:
    """Make the model ready for about so many calls of its network."""
    model.accelerate(calls=calls, precision=arguments.precision, compile=arguments.compile, tell=say)


def clip_of(arguments: Clipping) -> Clip:
    """Return what `clip` and `threshold` mean together."""
    threshold = arguments.threshold
    if threshold is None:
        return arguments.clip
    if not arguments.clip:
        way = ("leave ", Setting("clip", False), " or ", Setting("threshold"), " out")
        raise UserError("is a way of clipping", field="threshold", way=way)
    if not 0 < threshold <= 1:
        what = "is a quantile, above 0 and at most 1"
        raise UserError(what, field="threshold", value=f"{threshold:g}", way="0.995 is usual")
    return float(threshold)


def scoring_stride(arguments: Chain, model: Model, path: str, clip: Clip) -> Stride | None:
    """Return the steps to score on; None takes all. A number of steps is planned if there is a plan that fits."""
    steps = arguments.steps
    if arguments.stride is not None or steps is None or not steps.isdecimal() or not os.path.lexists(plan_path(path)):
        return _stride(arguments, model, path, clip, from_noise=False)
    _check_length(steps, model)
    if int(steps) == len(model.diffusion.schedule):
        return None
    try:
        planned = fitting_plan(model, path, clip).chain(int(steps), arguments.variance, from_noise=False)
    except UserError as error:
        say(f"{error}; taking evenly spaced steps")
        return steps
    say(f"steps: as planned in {plan_path(path)}; or --stride uniform")
    return planned


def sampler_options(arguments: Drawing, model: Model, path: str) -> SamplerOptions:
    """Return how samples are drawn from the model at `path`."""
    clip = clip_of(arguments)
    eta = arguments.eta or None
    SamplerOptions(sampler=arguments.sampler, eta=eta)  # what is wrong with these comes before a plan is looked for
    if arguments.variance != MODEL:
        check_reading(arguments.sampler, arguments.variance)
    reading = reading_of(arguments, model, path, clip)
    steps = _stride(arguments, model, path, clip, from_noise=True)
    return SamplerOptions(steps, arguments.sampler, eta, clip, reading)


def _stride(arguments: Chain, model: Model, path: str, clip: Clip, *, from_noise: bool) -> Stride | None:
    """Return the steps that `steps` and `stride` name; None, which the number of all of them gives too, takes all."""
    steps, stride = arguments.steps, arguments.stride
    if steps is None:
        if stride is not None:
            raise UserError(f"{stride} needs a number of steps", field="stride", way=["add ", Setting("steps", 25)])
        return None
    _check_length(steps, model)
    if stride is None:
        return None if steps == str(len(model.diffusion.schedule)) else steps
    if not steps.isdecimal():
        way = ("give a number, or leave ", Setting("stride"), " out")
        raise UserError(f'"{steps}" is a stride of its own', field="steps", way=way)
    if stride == PLANNED:
        return fitting_plan(model, path, clip).chain(int(steps), arguments.variance, from_noise=from_noise)
    return named_stride(stride, steps)


def _check_length(steps: str, model: Model) -> None:
    longest = len(model.diffusion.schedule)
    if steps.removeprefix("-").isdecimal() and not 1 <= int(steps) <= longest:
        raise UserError(f"must be 1 ... {longest}, the length of the chain", field="steps", value=steps)


def told_steps(stride: Stride | None, count: int) -> str:
    """Return which steps these are, in words."""
    if stride is None:
        return f"all {counted(count, 'step')}"
    if isinstance(stride, tuple):
        return counted(count, "planned step")
    return counted(count, "evenly spaced step") if str(stride).isdecimal() else f"{counted(count, 'step')} ({stride})"


def reading_of(arguments: Chain, model: Model, path: str, clip: Clip) -> Reading | None:
    """Return the variance that the model at `path` is read with; None for its own."""
    name = arguments.variance
    if name == MODEL:
        return None
    if not READINGS.fact(name, "planned", False):
        return reading_named(name, seed=arguments.seed)
    if not os.path.lexists(plan_path(path)):
        raise UserError(f"{name} is found by iddpm plan", field="variance", way=f"run iddpm plan {path} first")
    tables = fitting_plan(model, path, clip).tables
    if name not in tables:
        what = f"{name} needs a network that has learned a variance"
        raise UserError(what, field="variance", way=f"use {', '.join(tables)}")
    return tables[name]


def fitting_plan(model: Model, path: str, clip: Clip) -> StoredPlan:
    """Return the plan of the model at `path`. UserError if there is none, or one of something else."""
    place = plan_path(path)
    plan = StoredPlan.load(place)
    with settings_as({} if isinstance(clip, bool) else {"clip": "threshold"}):
        plan.check(model, place, clip=clip)
    return plan
