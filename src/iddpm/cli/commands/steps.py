"""`iddpm steps RUN`: quality against the number of steps, for every sampler, variance and stride."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm import errors
from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.data_flags import NamedData, ReadingArguments, is_run, open_named
from iddpm.cli.feature_flags import FeatureFlags, network_for, network_of
from iddpm.cli.model_flags import Weights
from iddpm.cli.progress import ProgressLine, counted, say, show
from iddpm.errors import UserError
from iddpm.few_steps.kept import KeptStudy
from iddpm.files import check_place, locked
from iddpm.names import PLANNED, STRIDES
from iddpm.progress import Progress, finish
from iddpm.registry import OneOf

if TYPE_CHECKING:
    from iddpm.config import DatasetSpec
    from iddpm.evaluation.features import FeatureNetwork
    from iddpm.evaluation.statistics import Statistics
    from iddpm.few_steps.plan import StoredPlan
    from iddpm.few_steps.study import Setting, Study
    from iddpm.model import Model

USUAL = (5, 10, 25, 50)
OTHER_REFERENCE = "give images like those that the model draws, or a folder or zip of pictures"
MOST_REAL = 10_000
"""Images that samples are compared with."""


@dataclass(frozen=True, kw_only=True)
class StepsArguments(FeatureFlags, Weights):
    """What to try, and how to judge it."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    """A run that has been planned (iddpm plan RUN)."""
    steps: tuple[int, ...] | None = None
    """Evaluations of the network for a sample, beside the whole chain. None takes 5, 10, 25 and 50, if it is longer."""
    count: int | None = None
    """Samples for each FD, at least 100. None takes 1,000, or as many as there are training items if they are fewer."""
    items: int | None = None
    """Score the last so many held-out items. None takes 256, or as many as were not planned on where they are fewer."""
    whole: int | None = None
    """So many evenly spaced steps stand for the whole chain, if that would take too long. None takes all."""
    methods: tuple[str, ...] | None = None
    """Try only some of learned, fixed_small, fixed_large, analytic, calibrated, jacobian, ddim, dpm++ ..."""
    strides: tuple[Annotated[str, OneOf(STRIDES, also=(PLANNED,))], ...] = ("uniform", "quadratic", "planned")
    """Try these only; ddim, every n-th step, is nearly uniform."""
    reference: str | None = None
    """A file by iddpm reference, or data: a run, a preset, an npz, a folder or zip, whose pictures are made of the
    size and the channels that the model draws. None takes the training images."""
    seed: int = 0
    """Of all samples: image i begins with the same noise in every setting."""
    batch_size: int = 128
    """Images worked on at once."""
    out: str | None = None
    """Where to draw the picture. None takes steps.png in the run, beside steps.json, which keeps all results."""


def run(words: Sequence[str]) -> int:
    """Judge few steps; return the exit code."""
    with parsed(StepsArguments, words, command="steps", description="Judge samples drawn in few steps.") as arguments:
        return _run(arguments)


def _run(arguments: StepsArguments) -> int:
    from iddpm.few_steps.picture import picture
    from iddpm.few_steps.study import cheapest, within
    from iddpm.pictures import save_image

    if arguments.out is not None:
        if Path(arguments.out).suffix.lower() != ".png":
            raise UserError(f"{arguments.out} must be called NAME.png", field="out")
        check_place(Path(arguments.out), "out")
    study, wanted = _study(arguments)
    with ExitStack() as stack:
        taken = f"{arguments.model}: another process is judging this run's few steps; wait for it"
        stack.callback(locked(Path(arguments.model) / "steps-lock", taken))
        rows = _rows(arguments, study, wanted)
    image = Path(arguments.model) / "steps.png" if arguments.out is None else Path(arguments.out)
    title = f"{study.count} samples, {len(study.held_out)} held-out items; bars: standard errors"
    save_image(image, picture(rows, title, len(study.model.diffusion.schedule)))
    best = cheapest(rows)
    if arguments.json:
        print(json.dumps({"rows": rows, "cheapest": best, "picture": str(image)}))
        return 0
    print("\n".join(_table(rows)))
    if best is None:
        print("no setting is within the 95 % interval of the whole chain's FD; give more steps")
    else:
        print(f"cheapest within the 95 % interval of the whole chain's FD: {_flags(best, arguments.weights)}")
        if len(near := within(rows)) > max(1, (len(rows) - 1) / 2):
            tried = f"{len(near)} of {len(rows) - 1} settings are within the whole chain's interval"
            say(f"steps: {tried}; more samples than {study.count} (--count) may tell them apart")
    print(image)
    return 0


def _rows(arguments: StepsArguments, study: Study, wanted: list[Setting]) -> list[dict[str, Any]]:
    """A row for every setting: those that are kept, and those that are not, judged."""
    from iddpm.acceleration import chosen_precision
    from iddpm.cli.work.chain import accelerate

    precision = chosen_precision(arguments.precision, study.model.device, training=False)
    kept = KeptStudy(Path(arguments.model), study, precision, say)
    calls = sum(each.evaluations for each in wanted) * (study.count + len(study.held_out)) // study.batch_size
    accelerate(study.model, arguments, calls=calls)
    left = [each for each in wanted if kept.row(each) is None]
    if left:
        say(f"steps: judging {counted(len(left), 'setting')}, {counted(study.count, 'sample')} each")
    with ProgressLine("judging", sum(study.rounds(each, kept.drawn(each)) for each in left)) as line:
        done = 0

        def count_step(progress: Progress) -> None:
            nonlocal done
            done += 1
            line.update(done, note.__str__)

        for number, setting in enumerate(left, 1 + len(wanted) - len(left)):
            note = f"{number} of {len(wanted)}: {setting.method}, {setting.stride}, {setting.evaluations}"
            kept.add(
                setting, finish(study.judge(setting, kept.drawn(setting), partial(kept.keep, setting)), count_step)
            )
    return [kept.row(each) or {} for each in wanted]


def _study(arguments: StepsArguments) -> tuple[Study, list[Setting]]:
    """What is judged by what, and the settings that are."""
    import numpy as np

    from iddpm.cli.work.chain import fitting_plan, load_model
    from iddpm.data.dataset import Rows
    from iddpm.evaluation.scores import check_count
    from iddpm.few_steps.study import Study, settings
    from iddpm.sampling import given_from

    if not is_run(arguments.model):
        raise UserError(f"{arguments.model} is no run", field="model", way="give the folder that iddpm train made")
    model = load_model(arguments.model, arguments)
    whole = _whole(arguments, model)
    for count in arguments.steps or ():
        if not 2 <= count <= whole:
            raise UserError(f"must be 2 ... {whole}, the whole chain", field="steps", value=count)
    check_least(arguments, batch_size=1, seed=0)
    plan = fitting_plan(model, arguments.model, True)
    counts = _counts(arguments, model, plan)
    if not counts or () in (arguments.strides, arguments.methods):
        named = (errors.Setting("steps"), ", ", errors.Setting("methods"), " and ", errors.Setting("strides"))
        way = ("name some, as in ", errors.Setting("steps", (2, 3)))
        raise UserError([*named, ": there is nothing to try"], way=way)
    plan.plans["model"].check_length(max(counts))
    wanted = _wanted(arguments, settings(plan, counts, whole))
    data = open_named(arguments.model, "model", ReadingArguments(), "train")
    held_out = data.splits.validation
    if held_out is None:
        raise UserError(f"{arguments.model}: its data has no held-out part to score")
    count = min(1000, len(data.dataset)) if arguments.count is None else arguments.count
    check_count(count, "count")
    fresh = max(0, len(held_out) - int(plan.about["count"]))
    items = min(256, fresh or len(held_out)) if arguments.items is None else arguments.items
    if not 0 < items <= len(held_out):
        raise UserError(f"must be 1 ... {len(held_out)}, the held-out items", field="items", value=items)
    if items > fresh:
        say(f"steps: {items - fresh} of the {items} items were planned on, which flatters planned steps; plan on fewer")
    scored = Rows(held_out, np.arange(len(held_out) - items, len(held_out)))
    network, real = _reference(arguments, data, model.spec)
    given = given_from(model, data.dataset, count)
    study = Study(model, plan, network, real, scored, count, arguments.seed, arguments.batch_size, given)
    return study, wanted


def _reference(arguments: StepsArguments, data: NamedData, spec: DatasetSpec) -> tuple[FeatureNetwork, Statistics]:
    """What samples are compared with, and the network that looks at both."""
    from iddpm.evaluation.images import collect, images_of_data, in_levels
    from iddpm.evaluation.statistics import Statistics, is_statistics, refuse_other_images

    name, trained_on = arguments.reference, images_of_data(data.dataset, data.what, count=1).images
    if name is not None and is_statistics(Path(name).expanduser()):
        known = Statistics.load(Path(name).expanduser())
        refuse_other_images(trained_on, known.manifest["images"], OTHER_REFERENCE)
        return network_of(known, arguments, arguments.device), known
    compared = data if name is None else _other_data(name, spec)
    images = images_of_data(compared.dataset, compared.what, count=min(MOST_REAL, len(compared.dataset)))
    refuse_other_images(trained_on, images.images, OTHER_REFERENCE)
    network = network_for(arguments, arguments.device, compared)
    return network, show(collect(in_levels(images, spec.levels), network))


def _other_data(name: str, spec: DatasetSpec) -> NamedData:
    """Data by its name; pictures in files become of the size and the channels that the model draws."""
    from iddpm.evaluation.scores import check_count

    reading = ReadingArguments() if is_run(name) else ReadingArguments(size=spec.size, channels=spec.channels)
    named = open_named(name, "reference", reading, like=spec)
    check_count(len(named.dataset), "reference")
    return named


def _whole(arguments: StepsArguments, model: Model) -> int:
    longest = len(model.diffusion.schedule)
    whole = longest if arguments.whole is None else arguments.whole
    if not 2 <= whole <= longest:
        raise UserError(f"must be 2 ... {longest}, the length of the chain", field="whole", value=whole)
    return whole


def _counts(arguments: StepsArguments, model: Model, plan: StoredPlan) -> tuple[int, ...]:
    if arguments.steps is not None:
        return tuple(dict.fromkeys(arguments.steps))
    longest = len(plan.plans["model"])
    return tuple(count for count in USUAL if count < _whole(arguments, model) and count <= longest)


def _wanted(arguments: StepsArguments, every: list[Setting]) -> list[Setting]:
    """The settings that were asked for, and the whole chain's."""
    whole, *few = every
    known = list(dict.fromkeys(each.method for each in few))
    methods = (
        known if arguments.methods is None else ["learned" if name == "model" else name for name in arguments.methods]
    )
    unknown = [name for name in methods if name not in known]
    if unknown:
        raise UserError(f"{unknown[0]} is not known here", field="methods", way=f"use some of {', '.join(known)}")
    found = [each for each in few if each.method in methods and each.stride in arguments.strides]
    if not found:
        strides = ", ".join(arguments.strides)
        what = (f"no chain of {strides} steps has these numbers of them (", errors.Setting("steps"), ")")
        raise UserError(what, field="strides", way="try uniform, or other numbers of steps")
    for stride in arguments.strides:
        if left_out := sorted(
            {each.evaluations for each in few} - {each.evaluations for each in found if each.stride == stride}
        ):
            say(f"steps: without {stride} in {', '.join(map(str, left_out))}: there is no such chain")
    return [whole, *found]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'evaluations':>11}  {'steps':>5}  {'method':<12} {'stride':<10} {'FD':>16}  {'bits/dim':>15}"]
    for row in rows:
        fd, bits = row["fd"], row["bits"]
        shown = "" if bits is None else f"{bits['mean']:.3f} +- {bits['error']:.3f}"
        lines.append(
            f"{row['evaluations']:>11}  {row['steps']:>5}  {row['method']:<12} {row['stride']:<10}"
            f" {fd['value']:8.3f} +- {fd['error']:5.3f}  {shown:>15}".rstrip()
        )
    return lines


def _flags(row: dict[str, Any], weights: str | None) -> str:
    """How iddpm sample is told to."""
    words = [f"--steps {row['steps']}", f"--stride {row['stride']}"]
    if weights is not None:
        words.append(f"--weights {weights}")
    if row["sampler"] != "ancestral":
        words.append(f"--sampler {row['sampler']}")
    elif row["variance"] != "model":
        words.append(f"--variance {row['variance']}")
    return f"{' '.join(words)} (FD {row['fd']['value']:.2f} +- {row['fd']['error']:.2f})"
