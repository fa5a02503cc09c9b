"""`iddpm evaluate SAMPLES`: how good samples are, with error bars and all that is needed to compare the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from iddpm.cli.arguments import parse
from iddpm.cli.drawing import DrawingArguments
from iddpm.cli.evaluations import evaluation_lines
from iddpm.cli.networks import Features, network_for, network_of
from iddpm.cli.progress import ProgressStages, say
from iddpm.cli.sources import NamedData, ReadingArguments, Split, is_model, is_run, open_named
from iddpm.errors import UserError

if TYPE_CHECKING:
    from iddpm.config import DatasetSpec
    from iddpm.evaluation.features import FeatureNetwork
    from iddpm.evaluation.statistics import Manifest, Statistics
    from iddpm.judging import ImageSet


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(ReadingArguments, DrawingArguments):
    """What to judge, against what, and how."""

    samples: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SAMPLES")]]
    """A run or another model (samples are drawn as they are needed), a folder or zip of images, or an npz."""
    reference: str | None = None
    """A file by iddpm reference, or data: a run, a preset's name, a folder ... None takes the run's own data."""
    split: Split | None = None
    """Which part of the reference. None takes the training part of a run's or a preset's data, all of other data."""
    count: int | None = None
    """How many samples. None takes all there are; of a model as many as the reference has, and 50,000 at most."""
    features: Features | None = None
    """Whose features. None takes classifier for data with classes below 32 pixels, inception for other."""
    feature_weights: str | None = None
    """The network's file of weights (dinov2: a folder laid out as torch's hub). None looks in torch's hub."""
    out: str | None = None
    """Where to keep the result for iddpm compare: NAME.json."""
    json: bool = False
    """Print the result as one JSON object."""


def run(words: Sequence[str]) -> int:
    """The command."""
    arguments = parse(EvaluateArguments, words, command="evaluate", description="Judge samples against real data.")
    from iddpm.evaluation.scores import Scores, check_count, score_sets
    from iddpm.evaluation.statistics import refuse_mismatch
    from iddpm.files import check_place, write_json
    from iddpm.judging import result_of

    arguments.check(arguments.count)
    if arguments.out is not None and Path(arguments.out).suffix != ".json":
        raise UserError(f"--out: {arguments.out} must be called NAME.json")
    if arguments.out is not None:
        check_place(Path(arguments.out), "--out")
    if arguments.count is not None:
        check_count(arguments.count, "samples")

    reference, samples, network = _sides(arguments)
    check_count(samples.count, "samples")
    check_count(reference.count, "reference")
    refuse_mismatch(samples.manifest, reference.manifest)
    with ProgressStages() as stages:
        real = _looked_at(reference, network, "looking at the reference", stages)
        generated = _looked_at(samples, network, "looking at samples", stages)
        for news in score_sets(generated, real):
            if isinstance(news, Scores):
                result = result_of(news, generated.manifest, real.manifest, seed=0)
            else:
                stages.update("scoring", *news)
    if arguments.out is not None:
        write_json(Path(arguments.out), result)
    print(json.dumps(result) if arguments.json else "\n".join(evaluation_lines(result)))
    return 0


@dataclass(frozen=True)
class Side:
    """One of the two sets: images that are still to be looked at, or what is known of others already."""

    manifest: Manifest
    images: ImageSet | None = None
    statistics: Statistics | None = None

    @property
    def count(self) -> int:
        """How many images it has."""
        count: int = self.manifest["images"]["count"]
        return count


def _sides(arguments: EvaluateArguments) -> tuple[Side, Side, FeatureNetwork]:
    """The reference, the samples, and the network that looks at both."""
    from iddpm.config import DatasetSpec
    from iddpm.judging import images_of_data, in_levels, manifest_of

    known_samples = _stored(arguments.samples)
    known = None if arguments.reference is None else _stored(arguments.reference)
    if known is not None:
        data = None
        network = network_of(known, arguments.features, arguments.feature_weights, arguments.device)
        shape = known.manifest["images"]
        spec = DatasetSpec(channels=shape["channels"], size=tuple(shape["size"]), levels=shape["levels"])
        reference = Side(known.manifest, statistics=known)
    else:
        data = open_named(_reference_name(arguments), "--reference", arguments, arguments.split)
        if known_samples is not None:
            network = network_of(known_samples, arguments.features, arguments.feature_weights, arguments.device)
        else:
            network = network_for(arguments.features, arguments.feature_weights, arguments.device, data)
        spec = data.dataset.spec
        images = images_of_data(data.dataset, data.what, batch_size=arguments.batch_size)
        reference = Side(manifest_of(images, network), images)
    if known_samples is not None:
        return reference, Side(known_samples.manifest, statistics=known_samples), network
    drawn = in_levels(_images(arguments, spec, reference.count, data), spec.levels)
    return reference, Side(manifest_of(drawn, network), drawn), network


def _stored(name: str) -> Statistics | None:
    """The statistics in a file, if it is one of those."""
    from iddpm.evaluation.statistics import Statistics, is_statistics

    path = Path(name).expanduser()
    return Statistics.load(path) if path.suffix == ".npz" and path.is_file() and is_statistics(path) else None


def _reference_name(arguments: EvaluateArguments) -> str:
    if arguments.reference is not None:
        return arguments.reference
    if is_run(arguments.samples):
        return arguments.samples
    raise UserError("--reference: is needed for samples that are no run; give data, or a file by iddpm reference")


def _images(arguments: EvaluateArguments, spec: DatasetSpec, most: int, data: NamedData | None) -> ImageSet:
    """The samples: drawn from a model, or read."""
    from iddpm.judging import MOST_SAMPLES, images_of_data, images_of_model
    from iddpm.sampling import sample_conditions

    if not is_model(arguments.samples):
        named = open_named(arguments.samples, "SAMPLES", arguments, "all", like=spec)
        return images_of_data(named.dataset, named.what, count=arguments.count, batch_size=arguments.batch_size)
    model = arguments.load(arguments.samples)
    conditions = None
    if model.config.network.low_resolution is not None:
        data = data or open_named(arguments.samples, "SAMPLES", arguments, "train")
        conditions = sample_conditions(model, data.dataset, arguments.count or min(most, MOST_SAMPLES))
    count = arguments.count or min(most, MOST_SAMPLES)
    options = arguments.options(model, arguments.samples)
    calls = -(-count // arguments.batch_size) * len(model.diffusion.strided(options.steps).schedule)
    model.accelerate(calls=calls, precision=arguments.precision, compile=arguments.compile, tell=say)
    return images_of_model(
        model,
        options,
        {"source": arguments.samples},
        count=count,
        seed=arguments.seed,
        conditions=conditions,
        batch_size=arguments.batch_size,
    )


def _looked_at(side: Side, network: FeatureNetwork, what: str, stages: ProgressStages) -> Statistics:
    from iddpm.evaluation.statistics import Statistics
    from iddpm.judging import collect

    if side.statistics is not None:
        return side.statistics
    assert side.images is not None
    for news in collect(side.images, network):
        if isinstance(news, Statistics):
            return news
        stages.update(what, news, side.images.rounds)
    raise AssertionError("looking at images ended without statistics")
