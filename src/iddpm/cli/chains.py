"""Which steps of a model's chain a command takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iddpm.cli.progress import say
from iddpm.errors import UserError

if TYPE_CHECKING:
    from iddpm.diffusion.respacing import Stride
    from iddpm.model import Model

StrideName = Literal["uniform", "ddim", "quadratic", "planned"]
PLAN = "plan.npz"


def plan_path(model: str) -> Path:
    """Where the plan of the model at this path is kept: in the run, or beside the file of weights."""
    path = Path(model)
    return path / PLAN if path.is_dir() else path.with_name(f"{path.stem}-{PLAN}")


def chosen_steps(model: Model, path: str, steps: str | None, stride: StrideName | None, *, clip: bool) -> Stride | None:
    """The stride of `--steps` and `--stride`; None takes all steps.

    A number of steps without `--stride` is planned where there is a plan, and uniform where there is none.
    """
    if steps is None:
        if stride is not None:
            raise UserError(f"--stride: {stride} needs a number of steps; add --steps 25")
        return None
    if stride is None:
        if not (steps.isdecimal() and plan_path(path).is_file()):
            return steps
        try:
            planned = _planned(model, plan_path(path), int(steps), clip=clip)
        except UserError as error:
            say(f"{error}; taking evenly spaced steps")
            return steps
        say(f"steps: as planned in {plan_path(path)} (--stride uniform for evenly spaced ones)")
        return planned
    if not steps.isdecimal():
        raise UserError(f'--steps: "{steps}" is a stride of its own; give a number, or leave --stride out')
    if stride == "planned":
        return _planned(model, plan_path(path), int(steps), clip=clip)
    return steps if stride == "uniform" else f"{stride}{steps}"


def _planned(model: Model, path: Path, count: int, *, clip: bool) -> tuple[int, ...]:
    from iddpm.plans import StoredPlan

    plan = StoredPlan.load(path)
    plan.check(model, path, clip=clip)
    return plan.chain(count)
