"""Planning few steps: making the plan, or going on with it, and its table."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from iddpm.checkpoints.run import lock_path, plan_path, unfinished
from iddpm.cli.commands.plan import PlanArguments
from iddpm.cli.data_flags import open_with_progress
from iddpm.cli.progress import counted, say, show
from iddpm.cli.work.chain import accelerate, clip_of, load_model
from iddpm.errors import Setting, UserError
from iddpm.few_steps.kept import KeptSums
from iddpm.few_steps.making import Planning, PlanOptions
from iddpm.few_steps.plan import StoredPlan
from iddpm.files import check_place, locked
from iddpm.names import MODEL, PLANNED
from iddpm.versions import VERSIONS

SHOWN = (4, 8, 10, 16, 25, 32, 50, 64, 100, 128, 250)
"""Numbers of steps in the table, beside the longest."""


def make_plan(arguments: PlanArguments) -> int:
    """Plan few steps and print their bounds; return the exit code."""
    path = plan_path(arguments.model)
    planning = _planning(arguments)
    if path.is_dir():
        raise UserError(f"plan: {path} is a folder, where the plan would be; move it away")
    check_place(path, "model")
    stored = None
    with suppress(UserError):
        stored = StoredPlan.load(path)
    if stored is not None and planning.is_done_by(stored):
        say(f"plan: {path} is up to date")
    else:
        with ExitStack() as stack:
            taken = f"{path}: another process is making this plan; wait for it"
            stack.callback(locked(lock_path(path), taken))
            _say_what_it_replaces(path, stored, planning)
            say(f"plan: on {planning.count} of {counted(len(planning.dataset), 'held-out item')}")
            stored = _made(planning, path)
    _print_result(arguments, path, stored, planning.longest)
    return 0


def _planning(arguments: PlanArguments) -> Planning:
    model = load_model(arguments.model, arguments)
    held_out = open_with_progress(model.config.data).validation
    if held_out is None:
        what = f"{arguments.model}: its data has no held-out part to plan on"
        raise UserError(what, way=["train with ", Setting("data.validation", 0.1)])
    options = PlanOptions(
        arguments.count,
        arguments.candidates,
        arguments.longest,
        arguments.seed,
        clip_of(arguments),
        arguments.batch_size,
    )
    planning = Planning(model, held_out, options, {"data": model.config.data.source, "split": "validation"})
    accelerate(model, arguments, calls=planning.calls)
    return planning


def _made(planning: Planning, path: Path) -> StoredPlan:
    """Make a plan and save it, going on with what an interrupted command has kept."""
    timesteps = planning.diffusion.schedule.timesteps.tolist()
    subject = {**planning.subject, **planning.about, "timesteps": timesteps, "format": VERSIONS["plan"]}
    kept = KeptSums(unfinished(path, ".safetensors"), subject, say)
    stored = show(planning.work(kept))
    stored.save(path)
    kept.forget()
    return stored


def _say_what_it_replaces(path: Path, stored: StoredPlan | None, planning: Planning) -> None:
    """Say what plan will be lost: one for other weights, or one that the run used until now."""
    if stored is None:
        if path.exists():
            say(f"plan: {path} is damaged, or of another version; it will be replaced")
        return
    before, now = (
        f"up to {longest} of {about['candidates']} steps on {counted(about['count'], 'item')} with seed {about['seed']}"
        for longest, about in ((stored.longest, stored.about), (planning.longest, planning.about))
    )
    if stored.subject != planning.subject:
        say(f"plan: {path} is for other weights or other clipping; it will be replaced")
    elif before != now:
        say(f"plan: {path} chooses {before}; it will be replaced by one that chooses {now}")


def _print_result(arguments: PlanArguments, path: Path, stored: StoredPlan, longest: int) -> None:
    lengths = range(1, longest + 1) if arguments.json else sorted({*(n for n in SHOWN if n <= longest), longest})
    rows = [_row(stored, count) for count in lengths]
    best = 1 + int(stored.plans[MODEL].bounds[:longest].argmin())
    if best < longest:
        say(f"plan: with the model's variance no longer chain has a lower bound than {counted(best, 'step')}")
    if arguments.json:
        print(json.dumps({"plan": str(path), "bits_per_dim": rows}))
    else:
        print("\n".join([*_table(stored, rows), str(path)]))


def _row(stored: StoredPlan, count: int) -> dict[str, Any]:
    """Return the bounds of all chains of `count` steps, by the names of strides, and planned by those of variances."""
    strides = {name: bounds[count - 1] for name, bounds in stored.strides.items()}
    planned = {name: float(plan.bounds[count - 1]) for name, plan in stored.plans.items()}
    return {"steps": count, **strides, PLANNED: planned}


def _table(stored: StoredPlan, rows: list[dict[str, Any]]) -> list[str]:
    others = [name for name in stored.plans if name != MODEL]
    missing = "; -: no such chain" if any(row[name] is None for row in rows for name in stored.strides) else ""
    lines = [
        "bits/dim on what was planned on: of strides with the model's variance, then planned with others"
        f" (--variance){missing}"
    ]
    if len(stored.timesteps) <= stored.timesteps[-1]:
        lines.append(f"(of other strides the nearest of the {len(stored.timesteps)} steps to choose from)")
    lines.append(f"{'steps':>6}" + "".join(f"  {name:>11}" for name in [*stored.strides, PLANNED, *others]))
    for row in rows:
        bounds = [*(row[name] for name in stored.strides), *(row[PLANNED][name] for name in (MODEL, *others))]
        cells = (f"{'-':>13}" if bound is None else f"  {bound:11.4f}" for bound in bounds)
        lines.append(f"{row['steps']:>6}" + "".join(cells))
    return lines
