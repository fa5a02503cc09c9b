"""`iddpm reference DATA`: what evaluations need of a reference, worked out once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.data_flags import ReadingArguments, Split, open_named
from iddpm.cli.feature_flags import Features, network_for
from iddpm.cli.progress import show
from iddpm.errors import UserError
from iddpm.files import check_place


@dataclass(frozen=True, kw_only=True)
class ReferenceArguments:
    """Which images, and what to keep of them."""

    data: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATA")]]
    """A run (its own data), a preset's name, a folder or zip of images, an npz, or a source such as folder:PATH."""
    out: str = "reference.npz"
    """The file to write."""
    split: Split | None = None
    """Which part of the data. None takes the training part of a run's or a preset's, and all of other data."""
    count: int | None = None
    """So many images, evenly spread over the data. None takes all."""
    features: Features | None = None
    """Whose features. None takes classifier for data with classes below 32 pixels, inception for other."""
    feature_weights: str | None = None
    """The network's file of weights (dinov2: a folder laid out as torch's hub). None looks in torch's hub."""
    moments_only: bool = False
    """Keep a small file: nothing but Frechet distances can be made of it."""
    batch_size: int = 64
    """Images worked on at once."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: bool = False
    """Print one JSON object: the manifest."""
    reading: Annotated[ReadingArguments, tyro.conf.arg(name="")] = ReadingArguments()  # noqa: RUF009


def run(words: Sequence[str]) -> int:
    """Store a reference; return the exit code."""
    with parsed(
        ReferenceArguments, words, command="reference", description="Store a reference's statistics."
    ) as arguments:
        return _run(arguments)


def _run(arguments: ReferenceArguments) -> int:
    check_least(arguments, batch_size=1)
    if Path(arguments.out).suffix != ".npz":
        raise UserError(f"{arguments.out} must be called NAME.npz", field="out")
    check_place(Path(arguments.out), "out")
    data = open_named(arguments.data, "DATA", arguments.reading, arguments.split)

    from iddpm.evaluation.images import collect, images_of_data
    from iddpm.evaluation.scores import check_count

    images = images_of_data(data.dataset, data.what, count=arguments.count, batch_size=arguments.batch_size)
    check_count(images.count, "data")
    network = network_for(arguments.features, arguments.feature_weights, arguments.device, data)
    statistics = show(collect(images, network, keep_features=not arguments.moments_only))
    statistics.save(Path(arguments.out))
    print(json.dumps({"out": arguments.out, **statistics.manifest}) if arguments.json else arguments.out)
    return 0
