"""Channels that normalisation joins, and what that does to small networks: bits/dim, FD, the colours of samples.

    python -m benchmarks.groups [--seeds 3] [--runs runs/groups] [--page]

The ablation's runs at T = 4,000 with L_hybrid (8x8 crops of photographs, 16 channels, 1,200 steps), with every channel
normalised alone (32 groups, the authors' number), with the default of four channels a group, and with two groups. Runs
are kept, so that an interrupted study goes on. Writes docs/results/groups.json, groups.md and
groups.png.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.results import measured, parser, read, sentence, tell, write
from iddpm.data.scaling import quantize
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell
from iddpm.experiments.paper.ablation import SCHEDULES, cell
from iddpm.experiments.scales import Scale, scale_of
from iddpm.experiments.store import Store
from iddpm.experiments.verdicts import mean_text
from iddpm.pictures import grid, save_image
from iddpm.progress import Progress, finish
from iddpm.sampling import sample

GROUPS = {32: "1", None: "4 (the default)", 2: "8 and 16"}
"""Channels a group at the two levels, of 16 and 32 channels, by `norm_groups`."""
CAPTION = f"""![samples](groups.png)

*64 samples each, not chosen, of the cosine runs of seed 0: channels a group {", ".join(GROUPS.values())}.*

A channel that is normalised alone loses its mean, and with the means of all channels an image loses its
colour. The authors' 32 groups join four channels of a network of 128, and none of a network of 32."""
GAP = 24
"""Pixels between the sheets of samples."""


def with_groups(scale: Scale, groups: int | None) -> Scale:
    """Return the scale with another normalisation."""
    network = scale.base.network.model_copy(update={"norm_groups": groups})
    return replace(scale, base=scale.base.model_copy(update={"network": network}))


def picture(store: Store, cells: list[Cell]) -> Image.Image:
    """Return 64 samples of each run, side by side."""
    sheets = []
    for subject in (made.subject for made in cells):
        assert isinstance(subject, DiffusionRun)
        model = subject.model(store.folder(subject))
        images = sample(model, 64, seed=0, steps="100")
        sheets.append(grid(quantize(images, model.spec.levels), model.spec))
    width = sum(sheet.width for sheet in sheets) + GAP * (len(sheets) - 1)
    whole = Image.new("RGB", (width, sheets[0].height), "white")
    left = 0
    for sheet in sheets:
        whole.paste(sheet, (left, 0))
        left += sheet.width + GAP
    return whole


def measure(store: Store, seeds: int) -> tuple[dict[str, Any], Image.Image]:
    """Train and judge all runs; return bits/dim and FD of each setting, a number a seed, and the picture."""
    scales = {groups: with_groups(scale_of("tiny"), groups) for groups in GROUPS}
    cells = {
        (groups, schedule, seed): cell(scale, schedule, 4000, "L_hybrid", seed)
        for (groups, scale), schedule, seed in product(scales.items(), SCHEDULES, range(seeds))
    }
    done: set[int] = set()

    def show(progress: Progress) -> None:
        if progress.done not in done:
            done.add(progress.done)
            tell(f"{progress.done} of {progress.total} runs")

    works = dict(zip(cells, finish(store.work(list(cells.values())), show), strict=True))
    rows = []
    for (groups, channels), schedule in product(GROUPS.items(), SCHEDULES):
        results = [works[groups, schedule, seed].results for seed in range(seeds)]
        bits = [float(result["bits"]["bits"]) for result in results]
        distances = [float(result["fd"]["frechet"]["value"]) for result in results]
        rows.append({"channels a group": channels, "schedule": schedule, "bits": bits, "fd": distances})
    image = picture(store, [cells[groups, "cosine", 0] for groups in GROUPS])
    return {"seeds": seeds, "rows": rows, **measured()}, image


def page(results: dict[str, Any]) -> str:
    """Return the page of a study."""
    lines = [
        "# Channels that are normalised together",
        "",
        f"`python -m benchmarks.groups --seeds {results['seeds']}` made this page: 8x8 crops of photographs,",
        "networks of 16 and 32 channels at their two levels, T = 4,000, L_hybrid, 1,200 steps (the ablation's runs).",
        *sentence([results]),
        "",
        "| channels a group | schedule | bits/dim | FD |",
        "|---|---|---|---|",
    ]
    for row in results["rows"]:
        bits, distance = (mean_text(row[score]) for score in ("bits", "fd"))
        lines.append(f"| {row['channels a group']} | {row['schedule']} | {bits} | {distance} |")
    return "\n".join([*lines, "", CAPTION]) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--runs", type=Path, default=Path("runs/groups"))
    arguments = command.parse_args(words)
    path = arguments.out / "groups.json"
    if not arguments.page:
        arguments.runs.mkdir(parents=True, exist_ok=True)
        results, image = measure(Store(arguments.runs), arguments.seeds)
        write(path, results)
        save_image(path.with_suffix(".png"), image)
    path.with_suffix(".md").write_text(page(read(path, None)))


if __name__ == "__main__":
    main()
