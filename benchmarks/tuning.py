"""The settings that the paper leaves open, one change at a time: bits/dim of held-out digits after a short training.

    python -m benchmarks.tuning [--steps 500]

Every run sees as many images as the preset does in so many steps; the preset itself runs with three seeds, which says
what a difference means. Writes docs/results/tuning.json, from which an interrupted run goes on, and tuning.md.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.quality import bound, trained
from benchmarks.results import measured, parser, read, sentence, tell, write
from iddpm.config import Config
from iddpm.data import open_source
from iddpm.presets import preset

SEEDS = 3
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    **{"the preset" + (f", seed {seed}" if seed else ""): {"training": {"seed": seed}} for seed in range(SEEDS)},
    **{f"learning rate {rate:g}": {"training": {"learning_rate": rate}} for rate in (1e-3, 2e-3, 8e-3)},
    "no decay of the learning rate": {"training": {"decay": False}},
    "no warm-up": {"training": {"warmup_steps": 0}},
    "no clipping of the gradient": {"training": {"gradient_clip": None}},
    **{f"average of rate {rate:g}": {"training": {"ema_rates": (rate,)}} for rate in (0.99, 0.9995)},
    "average without warm-up": {"training": {"ema_warmup": False}},
    "batches of 64, twice the steps": {"training": {"batch_size": 64}},
    "batches of 256, half the steps": {"training": {"batch_size": 256}},
    "uniform timesteps": {"objective": {"timesteps": "uniform"}},
    "timesteps by importance": {"objective": {"timesteps": "importance"}},
    "lambda 0.001, the paper's": {"objective": {"vlb_weight": 0.001}},
    "lambda 0.1": {"objective": {"vlb_weight": 0.1}},
    "the bound alone": {"objective": {"kind": "vlb"}},
    "the bound alone, timesteps by importance": {"objective": {"kind": "vlb", "timesteps": "importance"}},
}


def run(change: dict[str, dict[str, Any]], steps: int) -> dict[str, float]:
    """Train with a change, score the average, and return both results."""
    values = preset("digits").model_dump()
    images = steps * values["training"]["batch_size"]
    values["training"] |= {"validate_every": 0, "sample_every": 0, "checkpoint_every": 10**6}
    for section, fields in change.items():
        values[section] |= fields
    values["training"]["steps"] = images // values["training"]["batch_size"]
    config = Config.model_validate(values)
    splits = open_source(config.data)
    model, took = trained(config, splits)
    return {"seconds": took, "bits": bound(model.diffusion, model.predict(), splits, "digits")}


def page(study: dict[str, Any]) -> str:
    """Return the page of the results, best first."""
    results, steps = study["results"], study["steps"]
    seeds = [result["bits"] for name, result in results.items() if name.startswith("the preset")]
    usual = statistics.mean(seeds)
    spread = statistics.stdev(seeds)
    lines = [
        "# What was tuned",
        "",
        f"`python -m benchmarks.tuning --steps {steps}` made this page: bits/dim of the 300 held-out digits after"
        f" {steps} steps of 128 images (or as many images in other batches), one change of the preset at a time. The"
        f" preset's seeds give {usual:.3f} with a standard deviation of {spread:.3f}: a change helps or harms where it"
        f" is more than {2 * spread * (1 + 1 / SEEDS) ** 0.5:.3f} away (two standard errors of a difference).",
        *sentence([study]),
        *study.get("notes", []),
        "",
        "| change | bits/dim | against the preset | seconds |",
        "|---|---|---|---|",
    ]
    for name, result in sorted(results.items(), key=lambda item: float(item[1]["bits"])):
        lines.append(f"| {name} | {result['bits']:.3f} | {result['bits'] - usual:+.3f} | {result['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("--steps", type=int, default=500)
    arguments = command.parse_args(words)
    path = arguments.out / "tuning.json"
    study: dict[str, Any] = read(path, {})
    if not arguments.page:
        if study.get("steps") != arguments.steps:
            study = {"steps": arguments.steps, "results": {}, **measured()}
        for name, change in CHANGES.items():
            if name not in study["results"]:
                study["results"][name] = run(change, arguments.steps)
                tell(f"{name} {study['results'][name]}")
                write(path, study)
    (arguments.out / "tuning.md").write_text(page(study))


if __name__ == "__main__":
    main()
