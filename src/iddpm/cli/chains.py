"""How a command walks a model's chain: which of its steps it takes, and with which variance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iddpm.cli.progress import counted, say
from iddpm.errors import Setting, UserError

if TYPE_CHECKING:
    from iddpm.diffusion.readings import Reading
    from iddpm.diffusion.respacing import Stride
    from iddpm.diffusion.reverse import Clip
    from iddpm.few_steps.plan import StoredPlan
    from iddpm.model import Model

StrideName = Literal["uniform", "ddim", "quadratic", "planned"]
VarianceName = Literal["model", "fixed_small", "fixed_large", "analytic", "calibrated", "jacobian"]
PLAN = "plan.npz"


def plan_path(model: str) -> Path:
    """Where the plan of the model at this path is kept: in the run, or beside the file of weights."""
    path = Path(model)
    return path / PLAN if path.is_dir() else path.with_name(f"{path.stem}-{PLAN}")


def chosen_clip(clip: bool, threshold: float | None) -> Clip:
    """What `--clip` and `--threshold` mean together."""
    if threshold is None:
        return clip
    if not clip:
        way = ("leave ", Setting("clip", False), " or ", Setting("threshold"), " out")
        raise UserError("is a way of clipping", field="threshold", way=way)
    if not 0 < threshold <= 1:
        what = "is a quantile, above 0 and at most 1"
        raise UserError(what, field="threshold", value=f"{threshold:g}", way="0.995 is usual")
    return float(threshold)


def chosen_steps(
    model: Model,
    path: str,
    steps: str | None,
    stride: StrideName | None,
    *,
    clip: Clip,
    variance: VarianceName,
    is_bound: bool = True,
    from_noise: bool = False,
) -> Stride | None:
    """The stride of `--steps` and `--stride`; None, which as many steps as there are give too, takes all of them.

    A number of steps without `--stride` is planned where there is a plan and the walk is that of the bound, which is
    what was planned for (`is_bound`); and uniform elsewhere. from_noise: for sampling, see `Plan.positions`.
    """
    if steps is None:
        if stride is not None:
            raise UserError(f"{stride} needs a number of steps", field="stride", way=["add ", Setting("steps", 25)])
        return None
    longest = len(model.diffusion.schedule)
    if steps.removeprefix("-").isdecimal() and not 1 <= int(steps) <= longest:
        raise UserError(f"must be 1 ... {longest}, the length of the chain", field="steps", value=steps)
    if stride is None:
        if steps == str(longest):
            return None
        if not (is_bound and steps.isdecimal() and os.path.lexists(plan_path(path))):
            return steps
        try:
            planned = fitting_plan(model, path, clip=clip).chain(int(steps), variance, from_noise=from_noise)
        except UserError as error:
            say(f"{error}; taking evenly spaced steps")
            return steps
        # Few planned steps make the bound best, and samples seldom: see docs/results/few-steps-photos-8.md.
        other = "--stride uniform, evenly spaced ones, may give better samples" if from_noise else "or --stride uniform"
        say(f"steps: as planned in {plan_path(path)} for the bound; {other}")
        return planned
    if not steps.isdecimal():
        way = ("give a number, or leave ", Setting("stride"), " out")
        raise UserError(f'"{steps}" is a stride of its own', field="steps", way=way)
    if stride == "planned":
        return fitting_plan(model, path, clip=clip).chain(int(steps), variance, from_noise=from_noise)
    return steps if stride == "uniform" else f"{stride}{steps}"


def told_steps(stride: Stride | None, count: int) -> str:
    """Which steps these are, for a reader."""
    if stride is None:
        return f"all {counted(count, 'step')}"
    if isinstance(stride, tuple):
        return counted(count, "planned step")
    return counted(count, "evenly spaced step") if str(stride).isdecimal() else f"{counted(count, 'step')} ({stride})"


def chosen_variance(model: Model, path: str, name: VarianceName, *, clip: Clip, seed: int) -> Reading | None:
    """What `--variance` means for the model at `path`; None for its own."""
    from iddpm.diffusion.readings import Jacobian
    from iddpm.names import READINGS

    if name == "model":
        return None
    if name in ("fixed_small", "fixed_large"):
        reading: Reading = READINGS[name]()
        return reading
    if name == "jacobian":
        return Jacobian(seed)
    if not os.path.lexists(plan_path(path)):
        raise UserError(f"{name} is found by iddpm plan", field="variance", way=f"run iddpm plan {path} first")
    tables = fitting_plan(model, path, clip=clip).tables
    if name not in tables:
        what = f"{name} needs a network that has learned a variance"
        raise UserError(what, field="variance", way=f"use {', '.join(tables)}")
    return tables[name]


def fitting_plan(model: Model, path: str, *, clip: Clip) -> StoredPlan:
    """The plan of the model at `path`. UserError where there is none, or one of something else."""
    from iddpm.few_steps.plan import StoredPlan

    plan = StoredPlan.load(plan_path(path))
    plan.check(model, plan_path(path), clip=clip)
    return plan
