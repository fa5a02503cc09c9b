"""Samples, drawn and written in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from iddpm.cli.commands.sample import SampleArguments
from iddpm.cli.outputs import check_out, open_writer
from iddpm.cli.progress import show
from iddpm.cli.work.chain import accelerate, load_model, sampler_options
from iddpm.data import Dataset
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.names import CONDITIONS
from iddpm.progress import Work
from iddpm.sampling import sample_batches


def draw(arguments: SampleArguments) -> int:
    """Draw samples into a file or a folder; return the exit code."""
    model = load_model(arguments.model, arguments)
    out, count, size = Path(arguments.out), arguments.count, arguments.batch_size
    check_out(out, model.spec)
    given = _given(model, arguments)
    options = sampler_options(arguments, model, arguments.model)
    timesteps = model.diffusion.strided(options.steps).schedule.timesteps.tolist()
    batches = sample_batches(model, count, options, seed=arguments.seed, given=given, batch_size=size)
    accelerate(model, arguments, calls=-(-count // size) * len(timesteps))
    with open_writer(out, model.spec, count, _labels(model, given, count)) as write:
        show(_write(batches, write))
    result = {
        "out": arguments.out,
        "count": count,
        "steps": len(timesteps),
        "timesteps": timesteps,
        **options.manifest(),
        "seed": arguments.seed,
        "weights": model.weights,
        "training_step": model.step,
        "precision": model.precision,
    }
    print(json.dumps(result) if arguments.json else arguments.out)
    return 0


def _write(batches: Iterator[Work[Tensor]], write: Callable[[Tensor], None]) -> Work[None]:
    for batch in batches:
        write((yield from batch))


def _given(model: Model, arguments: SampleArguments) -> dict[str, Any]:
    """Return the conditions as the model's own read them. What data gives of one, it gives of the others too."""
    given: dict[str, Any] = {}
    for name, text in arguments.conditions().items():
        if name not in model.conditions:
            raise UserError(f"{arguments.model} was trained without it", field=name, way="leave it out")
        given[name] = show(model.conditions[name].read(text, arguments.count))
    dataset = next((value for value in given.values() if isinstance(value, Dataset)), None)
    if dataset is not None and arguments.count <= len(dataset):
        rows = np.arange(arguments.count)
        for name, condition in model.conditions.items():
            if name not in given:
                given[name] = condition.from_data(dataset.batch(rows), dataset, rows)
    model.conditions_for(given, arguments.count)  # what is wrong with them comes before the work
    return given


def _labels(model: Model, given: Mapping[str, Any], count: int) -> list[int] | None:
    """Return the class of every sample, if there is a condition that numbers them."""
    for name, condition in model.conditions.items():
        if CONDITIONS.fact(name, "labels"):
            labels: list[int] = condition.for_samples(given.get(name), count)(range(count)).tolist()
            return labels
    return None
