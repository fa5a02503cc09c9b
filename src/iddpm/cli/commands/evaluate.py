"""`iddpm evaluate SAMPLES`: how good samples are, with error bars and all that is needed to compare the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm.cli.arguments import check_least, not_default, parsed, settings_as
from iddpm.cli.data_flags import NamedData, ReadingArguments, Split, check_named, is_model, is_run, open_named
from iddpm.cli.feature_flags import Features, network_for, network_of
from iddpm.cli.model_flags import Drawing
from iddpm.cli.progress import show
from iddpm.errors import UserError
from iddpm.evaluation.results import evaluation_lines, result_of
from iddpm.progress import Work

if TYPE_CHECKING:
    from iddpm.evaluation.features import FeatureNetwork
    from iddpm.evaluation.images import ImageSet
    from iddpm.evaluation.statistics import Statistics

FOR_ALL_SAMPLES = {"batch_size", "device", "json"}
"""Fields of `Drawing` that mean something for samples that are there already."""


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """What to judge, and against what."""

    samples: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SAMPLES")]]
    """A run or another model (samples are drawn as they are needed), a folder or zip of images, or an npz."""
    reference: str | None = None
    """A file by iddpm reference, or data: a run, a preset's name, a folder or zip, an npz. None takes the run's own."""
    split: Split | None = None
    """Which part of the reference. None takes the training part of a run's or a preset's data, all of other data."""
    count: int | None = None
    """How many samples. None takes all there are; of a model as many as the reference has, and 50 thousand at most."""
    features: Features | None = None
    """Whose features. None takes classifier for data with classes below 32 pixels, inception for other."""
    feature_weights: str | None = None
    """The network's file of weights (dinov2: a folder laid out as torch's hub). None looks in torch's hub."""
    out: str | None = None
    """Where to keep the result for iddpm compare: NAME.json."""
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = Drawing()  # noqa: RUF009
    reading: Annotated[ReadingArguments, tyro.conf.arg(name="")] = ReadingArguments()  # noqa: RUF009


def run(words: Sequence[str]) -> int:
    """Judge samples; return the exit code."""
    with parsed(
        EvaluateArguments, words, command="evaluate", description="Judge samples against real data."
    ) as arguments:
        return _run(arguments)


def _run(arguments: EvaluateArguments) -> int:
    from iddpm.evaluation.scores import check_count, score_sets
    from iddpm.evaluation.statistics import refuse_other_images
    from iddpm.files import write_json

    _check(arguments)
    reference, data = _reference(arguments)
    samples = _samples(arguments, reference, data)
    check_count(samples.count, "samples")
    check_count(reference.count, "reference")
    with settings_as({"data.*": "*"}):
        refuse_other_images(samples.images, reference.images)
    network = _network(arguments, samples, reference, data)
    real = show(reference.statistics(network))
    generated = show(samples.statistics(network))
    quality = show(score_sets(generated, real))
    result = result_of(quality, generated.manifest, real.manifest)
    if arguments.out is not None:
        write_json(Path(arguments.out), result)
    print(json.dumps(result) if arguments.drawing.json else "\n".join(evaluation_lines(result)))
    return 0


def _check(arguments: EvaluateArguments) -> None:
    """UserError for what can be told to be wrong before any work."""
    from iddpm.evaluation.scores import check_count
    from iddpm.files import check_place

    check_least(arguments, count=1)
    check_least(arguments.drawing, batch_size=1, seed=0)
    if arguments.count is not None:
        check_count(arguments.count, "count")
    if arguments.out is not None:
        if Path(arguments.out).suffix != ".json":
            raise UserError(f"{arguments.out} must be called NAME.json", field="out")
        check_place(Path(arguments.out), "out")
    unused = [name for name in not_default(arguments.drawing) if name not in FOR_ALL_SAMPLES]
    if unused and not is_model(arguments.samples):
        raise UserError(f"{arguments.samples} is no model to draw from", field=unused[0], way="leave it out")


@dataclass(frozen=True)
class Side:
    """One of the two sets: images that are still to be looked at, or what is known of others already."""

    source: ImageSet | Statistics

    @property
    def images(self) -> dict[str, Any]:
        """What its manifest says of its images."""
        from iddpm.evaluation.images import ImageSet

        return self.source.images if isinstance(self.source, ImageSet) else self.source.manifest["images"]

    @property
    def count(self) -> int:
        """How many images it has."""
        from iddpm.evaluation.images import ImageSet

        count: int = self.source.count if isinstance(self.source, ImageSet) else self.images["count"]
        return count

    def statistics(self, network: FeatureNetwork) -> Work[Statistics]:
        """Return its statistics; UserError if they are known and another network's."""
        from iddpm.evaluation.images import collect
        from iddpm.evaluation.statistics import Statistics, refuse_other_features

        if isinstance(self.source, Statistics):
            refuse_other_features({"features": network.manifest()}, self.source.manifest)
            return self.source
        return (yield from collect(self.source, network))


def _stored(name: str) -> Statistics | None:
    """The statistics in a file, if it is one of those."""
    from iddpm.evaluation.statistics import Statistics, is_statistics

    path = Path(name).expanduser()
    return Statistics.load(path) if path.suffix == ".npz" and path.is_file() and is_statistics(path) else None


def _reference(arguments: EvaluateArguments) -> tuple[Side, NamedData | None]:
    """The reference, and the data that it is, if it is not a file of statistics."""
    from iddpm.evaluation.images import images_of_data

    name = arguments.reference
    if name is None:
        if not is_run(arguments.samples):
            check_named(arguments.samples, "samples")
            way = "give data, or what iddpm reference wrote"
            raise UserError("is needed for samples that are no run", field="reference", way=way)
        name = arguments.samples
    known = _stored(name)
    if known is not None:
        if arguments.split is not None:
            raise UserError(f"{name} is what iddpm reference has made of one part", field="split", way="leave it out")
        return Side(known), None
    data = open_named(name, "reference", arguments.reading, arguments.split)
    images = images_of_data(data.dataset, data.what, batch_size=arguments.drawing.batch_size)
    return Side(images), data


def _samples(arguments: EvaluateArguments, reference: Side, data: NamedData | None) -> Side:
    """The samples: of a file, still to be drawn, or still to be read."""
    from iddpm.config import DatasetSpec
    from iddpm.evaluation.images import images_of_data, in_levels

    known = _stored(arguments.samples)
    if known is not None:
        return Side(known)
    shape = reference.images
    spec = DatasetSpec(channels=shape["channels"], size=tuple(shape["size"]), levels=shape["levels"])
    if is_model(arguments.samples):
        drawn = _drawn(arguments, reference.count, data)
        return Side(in_levels(drawn, spec.levels))
    named = open_named(arguments.samples, "samples", arguments.reading, "all", like=spec)
    images = images_of_data(named.dataset, named.what, count=arguments.count, batch_size=arguments.drawing.batch_size)
    return Side(in_levels(images, spec.levels))


def _drawn(arguments: EvaluateArguments, most: int, data: NamedData | None) -> ImageSet:
    """Samples of a model, drawn when they are looked at."""
    from iddpm.cli.work.chain import accelerate, load_model, sampler_options
    from iddpm.evaluation.images import MOST_SAMPLES, images_of_model
    from iddpm.networks.unet import NONE
    from iddpm.sampling import given_from

    drawing = arguments.drawing
    model = load_model(arguments.samples, drawing)
    count = arguments.count or min(most, MOST_SAMPLES)
    given = NONE
    if any(condition.needs_data for condition in model.conditions.values()):
        data = data or open_named(arguments.samples, "samples", arguments.reading, "train")
        given = given_from(model, data.dataset, count)
    options = sampler_options(drawing, model, arguments.samples)
    calls = -(-count // drawing.batch_size) * len(model.diffusion.strided(options.steps).schedule)
    accelerate(model, drawing, calls=calls)
    return images_of_model(
        model,
        options,
        {"source": arguments.samples},
        count=count,
        seed=drawing.seed,
        given=given,
        batch_size=drawing.batch_size,
    )


def _network(arguments: EvaluateArguments, samples: Side, reference: Side, data: NamedData | None) -> FeatureNetwork:
    """The network that looks at both: a known side's, or the one that suits the data."""
    from iddpm.evaluation.statistics import Statistics

    choice = (arguments.features, arguments.feature_weights, arguments.drawing.device)
    for side in (reference, samples):
        if isinstance(side.source, Statistics):
            return network_of(side.source, *choice)
    assert data is not None
    return network_for(*choice, data)
