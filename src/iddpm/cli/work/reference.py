"""Statistics of real images, kept in a file."""

from __future__ import annotations

import json
from pathlib import Path

from iddpm.cli.commands.reference import ReferenceArguments
from iddpm.cli.data_flags import open_named
from iddpm.cli.feature_flags import network_for
from iddpm.cli.progress import show
from iddpm.evaluation.images import collect, images_of_data
from iddpm.evaluation.scores import check_count


def store(arguments: ReferenceArguments) -> int:
    """Look at the images, keep their statistics, and print where; return the exit code."""
    data = open_named(arguments.data, "data", arguments, arguments.split)
    images = images_of_data(data.dataset, data.what, count=arguments.count, batch_size=arguments.batch_size)
    check_count(images.count, "data")
    network = network_for(arguments, arguments.device, data)
    statistics = show(collect(images, network, keep_features=not arguments.moments_only))
    statistics.save(Path(arguments.out))
    print(json.dumps({"out": arguments.out, **statistics.manifest}) if arguments.json else arguments.out)
    return 0
