"""Judging few steps: the study of a run, going on with what is kept of it, and its table."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from iddpm.checkpoints.run import RunDirectory, lock_path
from iddpm.cli.commands.steps import StepsArguments
from iddpm.cli.data_flags import NamedData, ReadingArguments, is_run, open_named
from iddpm.cli.feature_flags import network_for, network_of
from iddpm.cli.progress import counted, say, show
from iddpm.cli.work.chain import accelerate, fitting_plan, load_model
from iddpm.config import DatasetSpec
from iddpm.data.dataset import Rows
from iddpm.errors import Setting, UserError
from iddpm.evaluation.features import FeatureNetwork
from iddpm.evaluation.images import collect, images_of_data, in_levels
from iddpm.evaluation.scores import check_count
from iddpm.evaluation.statistics import Statistics, is_statistics, refuse_other_images
from iddpm.few_steps import study as few
from iddpm.few_steps.kept import KeptStudy
from iddpm.few_steps.picture import picture
from iddpm.few_steps.plan import StoredPlan
from iddpm.files import check_place, locked
from iddpm.model import Model
from iddpm.names import MODEL
from iddpm.pictures import save_image
from iddpm.sampling import SamplerOptions, given_from

USUAL = (5, 10, 25, 50)
OTHER_REFERENCE = "give images like those that the model draws, or a folder or zip of pictures"
MOST_REAL = 10_000
"""Images that samples are compared with."""


def judge_steps(arguments: StepsArguments) -> int:
    """Judge few steps, draw the picture and print the table; return the exit code."""
    run = RunDirectory(arguments.model)
    image = run.study_picture if arguments.out is None else Path(arguments.out)
    if arguments.out is not None:
        if image.suffix.lower() != ".png":
            raise UserError("must end in .png", field="out", value=arguments.out)
        check_place(image, "out")
    study, wanted = _study(arguments)
    with ExitStack() as stack:
        taken = f"{arguments.model}: another process is judging this run's few steps; wait for it"
        stack.callback(locked(lock_path(run.study), taken))
        rows = _rows(arguments, run, study, wanted)
    title = f"{study.count} samples, {len(study.held_out)} held-out items; bars: standard errors"
    save_image(image, picture(rows, title, len(study.model.diffusion.schedule)))
    best = few.cheapest(rows)
    if arguments.json:
        print(json.dumps({"rows": rows, "cheapest": best, "picture": str(image)}))
        return 0
    print("\n".join(_table(rows)))
    if best is None:
        print("no setting is within the 95 % interval of the whole chain's FD; give more steps")
    else:
        print(f"cheapest within the 95 % interval of the whole chain's FD: {_flags(best, arguments.weights)}")
        if len(near := few.within(rows)) > max(1, (len(rows) - 1) / 2):
            tried = f"{len(near)} of {len(rows) - 1} settings are within the whole chain's interval"
            say(f"steps: {tried}; more samples than {study.count} (--count) may tell them apart")
    print(image)
    return 0


def _rows(
    arguments: StepsArguments, run: RunDirectory, study: few.Study, wanted: list[few.Setting]
) -> list[dict[str, Any]]:
    calls = sum(setting.evaluations for setting in wanted) * (study.count + len(study.held_out)) // study.batch_size
    accelerate(study.model, arguments, calls=calls)
    kept = KeptStudy(run, study, say)
    new = sum(kept.row(setting) is None for setting in wanted)
    if new:
        say(f"steps: judging {counted(new, 'setting')}, {counted(study.count, 'sample')} each")
    return show(study.judging(wanted, kept))


def _study(arguments: StepsArguments) -> tuple[few.Study, list[few.Setting]]:
    """Return what all settings are judged by, and the settings to judge."""
    if not is_run(arguments.model):
        raise UserError(f"{arguments.model} is no run", field="model", way="give the folder that iddpm train made")
    model = load_model(arguments.model, arguments)
    wanted, plan = _wanted(arguments, model)
    data = open_named(arguments.model, "RUN", ReadingArguments(), "train")
    count = min(1000, len(data.dataset)) if arguments.count is None else arguments.count
    check_count(count, "count")
    scored = _scored(arguments, data, int(plan.about["count"]))
    network, real = _reference(arguments, data, model.spec)
    given = given_from(model, data.dataset, count)
    study = few.Study(model, plan, network, real, scored, count, arguments.seed, arguments.batch_size, given)
    return study, wanted


def _scored(arguments: StepsArguments, data: NamedData, planned_on: int) -> Rows:
    """Return the held-out items to score: the last ones, for the first were planned on."""
    held_out = data.splits.validation
    if held_out is None:
        raise UserError(f"{arguments.model}: its data has no held-out part to score")
    fresh = max(0, len(held_out) - planned_on)
    items = min(256, fresh or len(held_out)) if arguments.items is None else arguments.items
    if not 0 < items <= len(held_out):
        raise UserError(f"must be 1 ... {len(held_out)}, the held-out items", field="items", value=items)
    if items > fresh:
        say(f"steps: {items - fresh} of the {items} items were planned on, which flatters planned steps; plan on fewer")
    return Rows(held_out, np.arange(len(held_out) - items, len(held_out)))


def _reference(arguments: StepsArguments, data: NamedData, spec: DatasetSpec) -> tuple[FeatureNetwork, Statistics]:
    """Return the network that looks at samples, and the statistics of what they are compared with."""
    name, trained_on = arguments.reference, images_of_data(data.dataset, data.what, count=1).images
    if name is not None and is_statistics(Path(name).expanduser()):
        statistics = Statistics.load(Path(name).expanduser())
        refuse_other_images(trained_on, statistics.manifest["images"], OTHER_REFERENCE)
        return network_of(statistics, arguments, arguments.device), statistics
    compared = data if name is None else _other_data(name, spec)
    images = images_of_data(compared.dataset, compared.what, count=min(MOST_REAL, len(compared.dataset)))
    refuse_other_images(trained_on, images.images, OTHER_REFERENCE)
    network = network_for(arguments, arguments.device, compared)
    return network, show(collect(in_levels(images, spec.levels), network))


def _other_data(name: str, spec: DatasetSpec) -> NamedData:
    """Open data by its name; pictures in files become of the size and the channels that the model draws."""
    reading = ReadingArguments() if is_run(name) else ReadingArguments(size=spec.size, channels=spec.channels)
    named = open_named(name, "--reference", reading, like=spec)
    check_count(len(named.dataset), "reference")
    return named


def _wanted(arguments: StepsArguments, model: Model) -> tuple[list[few.Setting], StoredPlan]:
    """Return the settings that were asked for, the whole chain's first, and the plan that they use."""
    longest = len(model.diffusion.schedule)
    whole = longest if arguments.whole is None else arguments.whole
    if not 2 <= whole <= longest:
        raise UserError(f"must be 2 ... {longest}, the length of the chain", field="whole", value=whole)
    for count in arguments.steps or ():
        if not 2 <= count <= whole:
            raise UserError(f"must be 2 ... {whole}, the whole chain", field="steps", value=count)
    plan = fitting_plan(model, arguments.model, True)
    usual = (count for count in USUAL if count < whole and count <= plan.longest)
    counts = list(dict.fromkeys(usual if arguments.steps is None else arguments.steps))
    if not counts or () in (arguments.strides, arguments.methods):
        named = (Setting("steps"), ", ", Setting("methods"), " and ", Setting("strides"))
        way = ("name some, as in ", Setting("steps", (2, 3)))
        raise UserError([*named, ": there is nothing to try"], way=way)
    plan.plans[MODEL].check_length(max(counts))
    first, *possible = few.settings(model, plan, counts, whole)
    return [first, *_chosen(arguments, possible, first.method)], plan


def _chosen(arguments: StepsArguments, possible: list[few.Setting], own: str) -> list[few.Setting]:
    """Return the settings of the methods and strides that were asked for. own: the method of the model's variance."""
    names = list(dict.fromkeys(setting.method for setting in possible))
    methods = names if arguments.methods is None else [own if m == MODEL else m for m in arguments.methods]
    for method in methods:
        if method not in names:
            raise UserError(f"{method} is not known here", field="methods", way=f"use some of {', '.join(names)}")
    chosen = [setting for setting in possible if setting.method in methods and setting.stride in arguments.strides]
    if not chosen:
        strides = ", ".join(arguments.strides)
        what = (f"no chain of {strides} steps has these numbers of them (", Setting("steps"), ")")
        raise UserError(what, field="strides", way="try uniform, or other numbers of steps")
    counts = {setting.evaluations for setting in possible}
    for stride in arguments.strides:
        if missing := sorted(counts - {setting.evaluations for setting in chosen if setting.stride == stride}):
            say(f"steps: no chain of {', '.join(map(str, missing))} {stride} steps; left out")
    return chosen


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
    """Return the flags with which iddpm sample draws such samples, and their FD."""
    words = [f"--steps {row['steps']}", f"--stride {row['stride']}"]
    if weights is not None:
        words.append(f"--weights {weights}")
    if row["sampler"] != SamplerOptions.sampler:
        words.append(f"--sampler {row['sampler']}")
    if row["variance"] != MODEL:
        words.append(f"--variance {row['variance']}")
    return f"{' '.join(words)} (FD {row['fd']['value']:.2f} +- {row['fd']['error']:.2f})"
