"""`iddpm sample MODEL`: a PNG grid, a folder of PNGs, or an npz, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.model_flags import DrawingArguments
from iddpm.cli.progress import ProgressLine, say
from iddpm.errors import Setting, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from iddpm.data import Dataset
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
    to_enlarge = _to_enlarge(model, arguments)
    classes = _classes(model, arguments, to_enlarge)

    options = arguments.options(model, arguments.model)
    diffusion = model.diffusion.strided(options.steps)
    batches = -(-arguments.count // arguments.batch_size)
    total = batches * len(diffusion.schedule)
    model.accelerate(calls=total, precision=arguments.precision, compile=arguments.compile, tell=say)
    stream = sample_batches(
        model,
        arguments.count,
        options,
        seed=arguments.seed,
        classes=classes,
        low_resolution=None if to_enlarge is None else partial(_scaled_rows, to_enlarge),
        batch_size=arguments.batch_size,
    )
    with open_writer(Path(arguments.out), model.spec, arguments.count, classes) as writer:
        with ProgressLine("sampling", total) as line:
            for done, batch in enumerate(stream, 1):
                if batch is not None:
                    writer.write(batch)
                line.update(done)
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


def _classes(model: Model, arguments: SampleArguments, to_enlarge: Dataset | None) -> list[int] | None:
    names = model.spec.class_names
    if arguments.label is None:
        if model.network.num_classes is None:
            return None
        if to_enlarge is not None:
            import numpy as np

            labels = model.labels_of(to_enlarge, np.arange(arguments.count))
            return None if labels is None else labels.tolist()
        return [i % len(names) for i in range(arguments.count)]
    if model.network.num_classes is None:
        raise UserError(f"{arguments.model} knows no classes", field="label", way="leave it out")
    if arguments.label in names:
        return [names.index(arguments.label)] * arguments.count
    if arguments.label.isdecimal() and int(arguments.label) < len(names):
        return [int(arguments.label)] * arguments.count
    known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    way = f"use a name, or a number 0 ... {len(names) - 1}"
    raise UserError(f'"{arguments.label}" is none of {known}', field="label", way=way)


def _to_enlarge(model: Model, arguments: SampleArguments) -> Dataset | None:
    """The images that an upsampler is to enlarge, in the size, channels and levels that it was trained on."""
    low = model.config.network.low_resolution
    if arguments.low_resolution is None:
        return None
    if low is None:
        raise UserError(f"{arguments.model} is no upsampler", field="low_resolution", way="leave it out")

    from iddpm.cli.data_flags import open_with_progress

    is_array = arguments.low_resolution.startswith(("npz:", "npy:"))
    settings = {
        "source": arguments.low_resolution,
        "size": low,
        "channels": model.spec.channels if model.spec.channels in (1, 3) else None,
        "levels": model.spec.levels if is_array else None,
        "num_classes": None,
        "validation": 0.0,
    }
    data = open_with_progress(model.config.data.model_copy(update=settings)).train
    if len(data) < arguments.count:
        what = f"{arguments.count}, and {arguments.low_resolution} holds {len(data)} images"
        raise UserError(what, field="count", way=["use ", Setting("count", len(data))])
    return data


def _scaled_rows(data: Dataset, rows: range) -> Tensor:
    import numpy as np

    from iddpm.data import scale

    return scale(data.items(np.array(rows)), data.spec.levels)
