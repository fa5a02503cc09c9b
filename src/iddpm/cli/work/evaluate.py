"""Samples, judged against real data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from iddpm.cli.arguments import settings_as
from iddpm.cli.commands.evaluate import EvaluateArguments
from iddpm.cli.data_flags import NamedData, check_named, is_model, is_run, open_named
from iddpm.cli.feature_flags import network_for, network_of
from iddpm.cli.progress import show
from iddpm.cli.work.chain import accelerate, load_model, sampler_options
from iddpm.config import DatasetSpec
from iddpm.errors import UserError
from iddpm.evaluation.features import FeatureNetwork
from iddpm.evaluation.images import MOST_SAMPLES, ImageSet, collect, images_of_data, images_of_model, in_levels
from iddpm.evaluation.results import evaluation_lines, result_of
from iddpm.evaluation.scores import check_count, score_sets
from iddpm.evaluation.statistics import Statistics, is_statistics, refuse_other_features, refuse_other_images
from iddpm.files import write_json
from iddpm.progress import Work
from iddpm.sampling import given_from

Side = ImageSet | Statistics
"""One of the two sets: images that are still to be looked at, or the statistics of those that have been."""


def judge(arguments: EvaluateArguments) -> int:
    """Judge samples against a reference, and print and keep the result; return the exit code."""
    if arguments.count is not None:
        check_count(arguments.count, "count")
    reference, data = _reference(arguments)
    samples = _samples(arguments, reference, data)
    check_count(_count(samples), "samples")
    check_count(_count(reference), "reference")
    with settings_as({"data.*": "*"}):
        refuse_other_images(_images(samples), _images(reference))
    network = _network(arguments, samples, reference, data)
    real = show(_statistics(reference, network))
    generated = show(_statistics(samples, network))
    result = result_of(show(score_sets(generated, real)), generated.manifest, real.manifest)
    if arguments.out is not None:
        write_json(Path(arguments.out), result)
    print(json.dumps(result) if arguments.json else "\n".join(evaluation_lines(result)))
    return 0


def stored_statistics(name: str) -> Statistics | None:
    """Return the statistics in a file, if it is one of those."""
    path = Path(name).expanduser()
    return Statistics.load(path) if path.suffix == ".npz" and path.is_file() and is_statistics(path) else None


def _reference(arguments: EvaluateArguments) -> tuple[Side, NamedData | None]:
    """Return the reference, and the data that it is, unless it is a file of statistics."""
    name = arguments.reference
    if name is None:
        if not is_run(arguments.samples):
            check_named(arguments.samples, "samples")
            way = "give data, or what iddpm reference wrote"
            raise UserError("is needed for samples that are no run", field="reference", way=way)
        name = arguments.samples
    stored = stored_statistics(name)
    if stored is not None:
        if arguments.split is not None:
            raise UserError(f"{name} is what iddpm reference has made of one part", field="split", way="leave it out")
        return stored, None
    data = open_named(name, "reference", arguments, arguments.split)
    return images_of_data(data.dataset, data.what, batch_size=arguments.batch_size), data


def _samples(arguments: EvaluateArguments, reference: Side, data: NamedData | None) -> Side:
    """Return the samples: of a file, still to be drawn, or still to be read."""
    stored = stored_statistics(arguments.samples)
    if stored is not None:
        return stored
    shape = _images(reference)
    spec = DatasetSpec(channels=shape["channels"], size=tuple(shape["size"]), levels=shape["levels"])
    if is_model(arguments.samples):
        return in_levels(_drawn(arguments, _count(reference), data), spec.levels)
    named = open_named(arguments.samples, "samples", arguments, "all", like=spec)
    images = images_of_data(named.dataset, named.what, count=arguments.count, batch_size=arguments.batch_size)
    return in_levels(images, spec.levels)


def _drawn(arguments: EvaluateArguments, most: int, data: NamedData | None) -> ImageSet:
    """Return samples of a model, which are drawn when they are looked at."""
    model = load_model(arguments.samples, arguments)
    count, size = arguments.count or min(most, MOST_SAMPLES), arguments.batch_size
    given = {}
    if any(condition.needs_data for condition in model.conditions.values()):
        data = data or open_named(arguments.samples, "samples", arguments, "train")
        given = given_from(model, data.dataset, count)
    options = sampler_options(arguments, model, arguments.samples)
    accelerate(model, arguments, calls=-(-count // size) * len(model.diffusion.strided(options.steps).schedule))
    what = {"source": arguments.samples}
    return images_of_model(model, options, what, count=count, seed=arguments.seed, given=given, batch_size=size)


def _network(arguments: EvaluateArguments, samples: Side, reference: Side, data: NamedData | None) -> FeatureNetwork:
    """Return the network that looks at both: that of stored statistics, or the one that suits the data."""
    for side in (reference, samples):
        if isinstance(side, Statistics):
            return network_of(side, arguments, arguments.device)
    assert data is not None
    return network_for(arguments, arguments.device, data)


def _images(side: Side) -> dict[str, Any]:
    """Return what a manifest says of the images."""
    return side.images if isinstance(side, ImageSet) else side.manifest["images"]


def _count(side: Side) -> int:
    return side.count if isinstance(side, ImageSet) else int(side.manifest["images"]["count"])


def _statistics(side: Side, network: FeatureNetwork) -> Work[Statistics]:
    """Look at the images; UserError for statistics that another network made."""
    if isinstance(side, Statistics):
        refuse_other_features({"features": network.manifest()}, side.manifest)
        return side
    return (yield from collect(side, network))
