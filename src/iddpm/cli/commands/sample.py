"""`iddpm sample MODEL`: a PNG grid, a folder of PNGs, or an npz, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import DrawingArguments
from iddpm.cli.progress import ProgressStages, say, show
from iddpm.errors import UserError
from iddpm.names import CONDITIONS
from iddpm.progress import finish

if TYPE_CHECKING:
    from iddpm.model import Model
    from iddpm.sampling import SamplerOptions


@dataclass(frozen=True, kw_only=True)
class SampleArguments(DrawingArguments):
    """What to draw, how, and where to."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """A run, one of its checkpoints, or a file of weights."""
    count: int = 64
    """How many samples."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """A class, by name or number, of a class-conditional model. None takes all in turn."""
    out: str = "samples.png"
    """NAME.png is a grid, NAME.npz an array as the authors' scripts write it, any other name a folder of PNGs. Missing
    folders on the way are made."""
    low_resolution: str | None = None
    """For an upsampler: the images to enlarge, as a data source (folder:PATH, npz:PATH ...)."""
    json: bool = False
    """Print one JSON object."""


def run(words: Sequence[str]) -> int:
    """Draw samples; return the exit code."""
    with parsed(SampleArguments, words, command="sample", description="Draw samples from a model.") as arguments:
        return _run(arguments)


def _run(arguments: SampleArguments) -> int:
    check_least(arguments, count=1)
    arguments.check()
    from iddpm.cli.outputs import check_out, open_writer
    from iddpm.sampling import sample_batches

    model = arguments.load(arguments.model)
    check_out(Path(arguments.out), model.spec)
    given = _given(model, arguments)
    model.conditions_for(given, arguments.count)

    options = arguments.options(model, arguments.model)
    diffusion = model.diffusion.strided(options.steps)
    batches = -(-arguments.count // arguments.batch_size)
    total = batches * len(diffusion.schedule)
    model.accelerate(calls=total, precision=arguments.precision, compile=arguments.compile, tell=say)
    stream = sample_batches(
        model, arguments.count, options, seed=arguments.seed, given=given, batch_size=arguments.batch_size
    )
    labels = _labels(model, given, arguments.count)
    with open_writer(Path(arguments.out), model.spec, arguments.count, labels) as writer:
        with ProgressStages() as stages:
            for work in stream:
                writer.write(finish(work, lambda p: stages.update(p.what, p.done, p.total)))
    _print_result(arguments, model, options, diffusion.schedule.timesteps.tolist())
    return 0


def _print_result(arguments: SampleArguments, model: Model, options: SamplerOptions, timesteps: list[int]) -> None:
    if arguments.json:
        result = {
            "out": arguments.out,
            "count": arguments.count,
            "steps": len(timesteps),
            "timesteps": timesteps,
            **options.manifest(),
            "seed": arguments.seed,
            "weights": model.weights,
            "training_step": model.step,
        }
        print(json.dumps(result))
    else:
        print(arguments.out)


def _given(model: Model, arguments: SampleArguments) -> dict[str, Any]:
    """Return the conditions that were given, as the model's conditions read them."""
    texts = {"classes": arguments.label, "low_resolution": arguments.low_resolution}
    given: dict[str, Any] = {}
    for name, text in texts.items():
        if text is not None:
            if name not in model.conditions:
                field = CONDITIONS.fact(name, "flag", name)
                raise UserError(f"{arguments.model} was trained without it", field=field, way="leave it out")
            given[name] = show(model.conditions[name].read(text, arguments.count))
    dataset = next((value for value in given.values() if hasattr(value, "labels")), None)
    if dataset is not None and arguments.count <= len(dataset):
        import numpy as np

        rows = np.arange(arguments.count)
        for name, condition in model.conditions.items():
            if name not in given:
                given[name] = condition.from_data(dataset.batch(rows), dataset, rows)
    return given


def _labels(model: Model, given: dict[str, Any], count: int) -> list[int] | None:
    """Return the label of every sample, for models with classes."""
    if "classes" not in model.conditions:
        return None
    labels: list[int] = model.conditions["classes"].for_samples(given.get("classes"), count)(range(count)).tolist()
    return labels
