"""The growth of time and memory with the batch, the steps, the size of an image, the number of samples and of items.

    python -m benchmarks.scaling [--page]

Every measurement is a process of its own. Writes docs/results/scaling.json and scaling.svg. Five minutes on two cores.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

from benchmarks.results import measured, parser, read, tell, write

USUAL = {"work": "sampling", "batch": 64, "steps": 20, "side": 16, "count": 64, "items": 1000}
AXES: dict[str, list[tuple[str, str, list[int]]]] = {
    "sampling": [
        ("batch", "images at once", [16, 32, 64, 128, 256]),
        ("steps", "steps of the chain", [10, 20, 40, 80]),
        ("pixels", "pixels of an image", [64, 256, 576, 1024]),
        ("count", "samples, 64 at once", [64, 512, 2048, 10_000]),
    ],
    "training": [
        ("batch", "images a step", [16, 32, 64, 128, 256]),
        ("pixels", "pixels of an image", [64, 256, 576, 1024]),
        ("items", "items of data", [1000, 10_000, 100_000, 400_000]),
    ],
}


def measure(settings: dict[str, Any]) -> dict[str, float]:
    """Return the seconds and bytes of one piece of work, in this process."""
    import numpy as np

    from iddpm.config import Config, DatasetSpec
    from iddpm.data.dataset import ArrayDataset
    from iddpm.model import Model
    from iddpm.progress import finish
    from iddpm.sampling import SamplerOptions, sample_batches
    from iddpm.training.batches import batch_indices
    from iddpm.training.trainer import Trainer

    side, batch = settings["side"], settings["batch"]
    config = Config.model_validate(
        {"network": {"channels": 32, "num_res_blocks": 1}, "training": {"batch_size": batch}}
    )
    spec = DatasetSpec(channels=1, size=(side, side))
    if settings["work"] == "sampling":
        model = Model.from_config(config, spec).to("cpu")
        options = SamplerOptions(settings["steps"])

        def work(count: int = settings["count"]) -> None:
            for batch_work in sample_batches(model, count, options, batch_size=batch):
                finish(batch_work)

        work(batch)
    else:
        trainer = Trainer.from_config(config, spec)
        data = ArrayDataset(spec, np.zeros((settings["items"], *spec.shape), dtype=np.uint8))

        def work(count: int = 5) -> None:
            for _ in range(count):
                rows = batch_indices(trainer.step, batch, len(data), 0)
                trainer.optimize(trainer.draw(data.batch(rows)))

        work(2)
    begun = time.perf_counter()
    work()
    seconds = (time.perf_counter() - begun) / (1 if settings["work"] == "sampling" else 5)
    return {"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def run() -> list[dict[str, Any]]:
    """Return all measurements, each with its settings."""
    rows: list[dict[str, Any]] = []
    for work, axes in AXES.items():
        for axis, label, values in axes:
            for value in values:
                settings = USUAL | {"work": work, "count": value if axis == "batch" else USUAL["count"]}
                settings |= {"side": int(value**0.5)} if axis == "pixels" else {axis: value}
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scaling", "--one", json.dumps(settings)]
                answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                rows.append({"work": work, "axis": axis, "label": label, "value": value, **answer})
                tell(rows[-1])
    return rows


def draw(measurements: list[dict[str, Any]], path: Path) -> None:
    """Draw time above and memory below, a column for each axis; a dashed line is proportional to the axis."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    columns = [(work, axis, label) for work, axes in AXES.items() for axis, label, _ in axes]
    figure, grid = pyplot.subplots(2, len(columns), figsize=(2.6 * len(columns), 5), layout="constrained")
    for column, (work, axis, label) in enumerate(columns):
        rows = [row for row in measurements if (row["work"], row["axis"]) == (work, axis)]
        values = [row["value"] for row in rows]
        times = [row["seconds"] for row in rows]
        top, bottom = grid[0][column], grid[1][column]
        top.loglog(values, times, "o-", color="tab:blue")
        if axis != "items":
            top.loglog(values, [times[-1] * value / values[-1] for value in values], "--", color="grey", linewidth=1)
        top.set_title(f"{work}: {label}", fontsize=9)
        top.set_ylim(min(times) / 2, max(times) * 2)
        bottom.semilogx(values, [row["bytes"] / 2**20 for row in rows], "o-", color="tab:red")
        bottom.set_ylim(0, 1.2 * max(row["bytes"] for row in measurements) / 2**20)
        for axes in (top, bottom):
            axes.set_xticks(values, [f"{value:,}" for value in values], fontsize=7, rotation=30)
            axes.minorticks_off()
            axes.tick_params(axis="y", labelsize=7)
    grid[0][0].set_ylabel("seconds")
    grid[1][0].set_ylabel("peak memory, MB")
    figure.savefig(path)


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("--one", help=SUPPRESS)
    arguments = command.parse_args(words)
    if arguments.one:
        print(json.dumps(measure(json.loads(arguments.one))))
        return
    path = arguments.out / "scaling.json"
    if not arguments.page:
        write(path, {**measured(), "rows": run()})
    draw(read(path, None)["rows"], path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
