"""`iddpm plan RUN`: the best few steps of the chain, for every number of steps at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.data_flags import open_with_progress
from iddpm.cli.model_flags import Clipping, Weights
from iddpm.cli.progress import ProgressLine, counted, say
from iddpm.errors import Setting, UserError
from iddpm.files import check_place, locked

if TYPE_CHECKING:
    from iddpm.data import Dataset
    from iddpm.diffusion.planning import JumpStatistics
    from iddpm.few_steps.plan import StoredPlan
    from iddpm.model import Model

SHOWN = (4, 8, 10, 16, 25, 32, 50, 64, 100, 128, 250)
"""Numbers of steps that the command tells about."""
LONGEST = 1000
"""Steps: more are hardly few, and every length takes time."""


@dataclass(frozen=True, kw_only=True)
class PlanArguments(Clipping, Weights):
    """What to plan for, and on what."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run, or another model that names its data."""
    count: int | None = None
    """Plan on the first so many held-out items. None takes 256, or half of them where that is fewer."""
    candidates: int | None = None
    """Choose from so many steps of the chain, closer at the data's end. None chooses from all, which takes longest."""
    longest: int | None = None
    """The longest chain to plan. None plans up to 1,000 steps."""
    seed: int = 0
    """Of the noise: item i depends on the seed and on i alone."""
    batch_size: int = 64
    """Items worked on at once; what is done of a batch is done again after an interruption."""


def run(words: Sequence[str]) -> int:
    """Plan few steps; return the exit code."""
    with parsed(
        PlanArguments,
        words,
        command="plan",
        description="Choose the best few steps by the bound itself. A run has one plan, plan.npz: another replaces it.",
    ) as arguments:
        return _run(arguments)


def _run(arguments: PlanArguments) -> int:
    check_least(arguments, count=1, candidates=2, longest=1, batch_size=1, seed=0)
    from iddpm.acceleration import chosen_precision
    from iddpm.cli.work.chain import clip_of, load_model, plan_path

    model = load_model(arguments.model, arguments)
    held_out = open_with_progress(model.config.data).validation
    if held_out is None:
        raise UserError(
            f"{arguments.model}: its data has no held-out part to plan on",
            way=["train with ", Setting("data.validation", 0.1)],
        )

    from iddpm.diffusion.planning import JumpStatistics
    from iddpm.few_steps.plan import FORMAT, candidates, subject_of

    path, longest = plan_path(arguments.model), len(model.diffusion.schedule)
    _check_plan_place(path)
    if arguments.candidates is not None and arguments.candidates > longest:
        what = f"must be at most {longest}, the length of the chain"
        raise UserError(what, field="candidates", value=arguments.candidates)
    count = _items(arguments, len(held_out))
    diffusion = candidates(model, arguments.candidates)
    timesteps = diffusion.schedule.timesteps.tolist()
    if arguments.longest is not None and arguments.longest > len(timesteps):
        raise UserError(f"{arguments.longest} is more than the {len(timesteps)} steps to choose from", field="longest")
    subject = subject_of(model, clip=clip_of(arguments))
    about = {
        "data": model.config.data.source,
        "split": "validation",
        "count": count,
        "seed": arguments.seed,
        "candidates": len(timesteps),
        "precision": chosen_precision(arguments.precision, model.device, training=False),
    }
    asked = min(arguments.longest or LONGEST, len(timesteps))
    known = _same_plan(path, subject, about, asked)
    if known is not None:
        say(f"plan: {path} is of this very work; nothing to do")
        _print_result(arguments, path, known, asked)
        return 0
    kept = _Kept(
        path.with_name(f"{path.stem}-unfinished.safetensors"),
        {**subject, **about, "timesteps": timesteps, "format": FORMAT},
    )
    with ExitStack() as stack:
        taken = f"{path}: another process is making this plan; wait for it"
        stack.callback(locked(path.with_name(f"{path.stem}-lock"), taken))
        _tell_what_it_replaces(path, subject, about, asked)
        say(f"plan: on {count} of {counted(len(held_out), 'held-out item')}")
        stored = _planned(arguments, model, held_out, JumpStatistics(diffusion), kept, subject, about, asked)
        stored.save(path)
        kept.forget()
    _print_result(arguments, path, stored, asked)
    return 0


def _check_plan_place(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"plan: {path} is a folder, where the plan would be; move it away")
    check_place(path, "model")


def _items(arguments: PlanArguments, held_out: int) -> int:
    """How many of so many held-out items are planned on."""
    count = min(256, -(-held_out // 2)) if arguments.count is None else arguments.count
    if count > held_out:
        raise UserError(f"must be 1 ... {held_out}, the held-out items to plan on", field="count", value=count)
    return count


def _same_plan(path: Path, subject: dict[str, Any], about: dict[str, Any], longest: int) -> StoredPlan | None:
    """The plan that is there, if it is what planning so long chains anew would give."""
    from iddpm.few_steps.plan import StoredPlan

    with suppress(UserError):
        known = StoredPlan.load(path)
        if (known.subject, known.about) == (subject, about) and len(known.plans["model"]) >= longest and known.strides:
            return known
    return None


def _planned(
    arguments: PlanArguments,
    model: Model,
    held_out: Dataset,
    statistics: JumpStatistics,
    kept: _Kept,
    subject: dict[str, Any],
    about: dict[str, Any],
    longest: int,
) -> StoredPlan:
    """Plans for every variance, from `statistics`, which gather what `kept` does not have yet."""
    from iddpm.cli.work.chain import accelerate
    from iddpm.few_steps.plan import StoredPlan, jump_statistics

    kept.restore(statistics)
    steps, count = len(statistics.diffusion.schedule), about["count"]
    done, calls = (-(-items // arguments.batch_size) * steps for items in (statistics.count, count))
    accelerate(model, arguments, calls=calls)
    with ProgressLine("planning", calls, done) as line:
        work = jump_statistics(
            model,
            held_out,
            statistics,
            count=count,
            seed=arguments.seed,
            clip=subject["clip"],
            batch_size=arguments.batch_size,
        )
        for now_done, is_whole in enumerate(work, done + 1):
            line.update(now_done)
            if is_whole:
                kept.keep(statistics)
        for stored in StoredPlan.of(statistics, subject, about, longest, whole=len(model.diffusion.schedule)):
            if isinstance(stored, str):
                line.note(f"choosing for the variance {stored}")
    assert isinstance(stored, StoredPlan)
    return stored


def _tell_what_it_replaces(path: Path, subject: dict[str, Any], about: dict[str, Any], longest: int) -> None:
    """A plan from fewer steps or items, or for other weights, is what the run will use once it is made."""
    from iddpm.few_steps.plan import StoredPlan

    if not path.is_file():
        return
    try:
        known = StoredPlan.load(path)
    except UserError:
        say(f"plan: {path} is damaged, or of another version; it will be replaced")
        return
    before, now = (
        f"up to {longest} of {about['candidates']} steps on {counted(about['count'], 'item')} with seed {about['seed']}"
        for longest, about in ((len(known.plans["model"]), known.about), (longest, about))
    )
    if known.subject != subject:
        say(f"plan: {path} is for other weights or other clipping; it will be replaced")
    elif before != now:
        say(f"plan: {path} chooses {before}; it will be replaced by one that chooses {now}")


class _Kept:
    """What is done of a plan, in a file until it is whole."""

    def __init__(self, path: Path, subject: dict[str, Any]) -> None:
        self._path = path
        self._subject = json.dumps(subject, sort_keys=True)

    def restore(self, statistics: JumpStatistics) -> None:
        """Go on from the file, if it is there and of the same work."""
        from iddpm.checkpoints.weights import read_tensors

        if not self._path.is_file():
            return
        try:
            state, header = read_tensors(self._path)
            if header.get("subject") == self._subject:
                statistics.restore(state)
                say(f"plan: going on after {counted(statistics.count, 'item')}")
            else:
                say(f"plan: {self._path} is of other work; beginning anew")
        except (UserError, KeyError):
            say(f"plan: {self._path} is damaged; beginning anew")

    def keep(self, statistics: JumpStatistics) -> None:
        """All sums, whole or not at all."""
        from safetensors.torch import save_file

        from iddpm.files import replacing

        with replacing(self._path) as beside:
            save_file(statistics.state(), beside, {"subject": self._subject})

    def forget(self) -> None:
        """The plan is whole."""
        self._path.unlink(missing_ok=True)


def _print_result(arguments: PlanArguments, path: Path, stored: StoredPlan, longest: int) -> None:
    shown = {*(count for count in SHOWN if count <= longest), longest}
    rows = [
        {
            "steps": count,
            **{name: bounds[count - 1] for name, bounds in stored.strides.items()},
            "planned": {name: float(plan.bounds[count - 1]) for name, plan in stored.plans.items()},
        }
        for count in (range(1, longest + 1) if arguments.json else sorted(shown))
    ]
    best = 1 + int(stored.plans["model"].bounds[:longest].argmin())
    if best < longest:
        say(f"plan: with the model's variance no longer chain has a lower bound than {counted(best, 'step')}")
    if arguments.json:
        print(json.dumps({"plan": str(path), "bits_per_dim": rows}))
        return
    others = [name for name in stored.plans if name != "model"]
    names = [*stored.strides, "planned", *others]
    missing = "; -: no such chain" if any(row[name] is None for row in rows for name in stored.strides) else ""
    print(
        "bits/dim on what was planned on: of strides with the model's variance, then planned with others"
        f" (--variance){missing}"
    )
    if len(stored.timesteps) <= stored.timesteps[-1]:
        print(f"(of other strides the nearest of the {len(stored.timesteps)} steps to choose from)")
    print(f"{'steps':>6}" + "".join(f"  {name:>11}" for name in names))
    for row in rows:
        planned = row["planned"]
        assert isinstance(planned, dict)
        values = [*(row[name] for name in stored.strides), *(planned[name] for name in ("model", *others))]
        print(f"{row['steps']:>6}" + "".join(f"{'-':>13}" if each is None else f"  {each:11.4f}" for each in values))
    print(path)
