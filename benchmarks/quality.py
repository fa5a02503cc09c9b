"""Quality per wall time: the held-out bits/dim and FD that a peer's own loop reaches, and how soon iddpm is there.

    python -m benchmarks.quality digits|photos [--minutes 10] [--share 0.45] [--only NAME]
    python -m benchmarks.quality --page

Peers train for `minutes` with their loops' defaults (batch 16, learning rate 1e-4, their schedules and averages) on a
network of the same widths; iddpm trains for a `share` of that with its preset. All are scored by the same bound on the
same held-out items in as many steps, and judged by as many samples, drawn in as many evenly spaced steps from the same
noise; a peer, whose variance is not learned, with the better of its two fixed ones, and all with their averaged
weights. FD is that of a small classifier's features: of the digits' classes, and of which photograph a crop is from and
where in it. Writes docs/results/quality-DATA.json, and quality.md of
both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants import DenoisingDiffusionPytorch, DiffusersLibrary, T
from benchmarks.matched import Size
from benchmarks.results import measured, parser, provenance, read, tell, with_error, write
from iddpm.config import Config
from iddpm.data import Splits, open_source
from iddpm.data.dataset import Rows
from iddpm.data.places import Places
from iddpm.data.sources.photos import Crops
from iddpm.diffusion import Ancestral, Diffusion, Discretized, Parameterization, SeededNoise, bits_per_dim, walk
from iddpm.diffusion.process import Predict
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.schedule import from_betas
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.evaluation.images import evaluate
from iddpm.model import Model
from iddpm.presets import preset
from iddpm.progress import finish

PEERS = {"diffusers": DiffusersLibrary, "denoising-diffusion-pytorch": DenoisingDiffusionPytorch}
PEER_BATCH = 16
COUNT = {"digits": 300, "photos": 64}
STEPS = {"digits": 500, "photos": 100}
"""The most steps of the chain in scoring: the whole chain takes too long."""
SAMPLES = {"digits": 1000, "photos": 200}
SAMPLING_STEPS = {"digits": 100, "photos": 50}
REFERENCE = 1000
"""The most training items, evenly spread, that samples are compared with."""
SHORT: dict[str, dict[str, dict[str, Any]]] = {
    "digits": {},
    "photos": {
        # A training so short leaves colours wrong, which are decided at the noisiest steps: the linear schedule spends
        # more of its steps there, an error in v is no larger one in x_0, and small batches allow more updates.
        "diffusion": {"prediction": "v", "schedule": "linear", "num_timesteps": 1000},
        "training": {
            "batch_size": 8,
            "learning_rate": 1e-3,
            "warmup_steps": 50,
            "decay": True,
            "ema_rates": (0.99,),
        },
    },
}
"""The changes of iddpm's preset for a run of some minutes, beside the number of steps."""


def peer(name: str, data: str, splits: Splits, judge: Judge, seconds: float) -> dict[str, Any]:
    """Train a peer for so long, score it and judge its samples."""
    network = preset(data).network
    spec = splits.spec
    size = Size(
        data,
        spec.size[0],
        spec.channels,
        network.channels,
        network.channel_multipliers,
        network.num_res_blocks,
        network.attention_resolutions,
    )
    torch.manual_seed(0)
    generator = np.random.default_rng(0)

    def batch() -> Tensor:
        return splits.train.batch(generator.integers(0, len(splits.train), PEER_BATCH))

    step, averaged = PEERS[name]().learner(size, batch, steps=20_000)
    tell(f"{name} trains, and the machine should do nothing else")
    begun = time.perf_counter()
    steps = 0
    while time.perf_counter() - begun < seconds:
        step()
        steps += 1
    took = time.perf_counter() - begun
    tell(f"{name} has trained, and is judged")
    scored = averaged()
    bits, distances = {}, {}
    for variance in ("fixed_small", "fixed_large"):
        chain = from_betas(scored.betas.detach().double())
        diffusion = Diffusion(chain, Parameterization.named(scored.prediction, variance), Discretized(spec.levels))
        bits[variance] = bound(diffusion, scored.predict, splits, data)
        distances[variance] = judge.distance(diffusion, scored.predict)
    return {
        "seconds": took,
        "optimizer_steps": steps,
        "images": steps * PEER_BATCH,
        "bits": bits,
        "fd": min(distances.values(), key=lambda found: found["value"]),
        "fd of each variance": distances,
        "T": T,
    }


@torch.no_grad()
def bound(diffusion: Diffusion, predict: Any, splits: Splits, data: str) -> float:
    """Return the mean bits/dim of the held-out items."""
    held_out = splits.validation
    assert held_out is not None
    chain = diffusion.strided(min(STEPS[data], len(diffusion.schedule)))
    # Of photographs, crops of the first one, from its top to its bottom.
    order = np.lexsort(held_out.corners.T[::-1]) if isinstance(held_out, Crops) else np.arange(len(held_out))
    totals = []
    for start in range(0, COUNT[data], 64):
        rows = order[start : min(start + 64, COUNT[data])]
        x_0 = held_out.batch(rows)
        noise = SeededNoise([int(row) for row in rows], splits.spec.shape)
        totals.append(bits_per_dim(chain, predict, x_0, noise).total)
    return float(torch.cat(totals).mean())


class Judge:
    """FD of a contestant's samples against training data of `splits`."""

    def __init__(self, data: str, splits: Splits) -> None:
        self._data = data
        self._spec = splits.spec
        labelled = Places(splits.train) if isinstance(splits.train, Crops) else splits.train
        self._features = finish(ClassifierFeatures.trained_on(labelled))
        count = len(splits.train)
        self._reference = Rows(splits.train, np.linspace(0, count - 1, min(REFERENCE, count)).astype(np.int64))

    @torch.no_grad()
    def distance(self, diffusion: Diffusion, predict: Predict) -> dict[str, float]:
        """Return the FD of samples, drawn in evenly spaced steps, and its standard error."""
        chain = diffusion.strided(min(SAMPLING_STEPS[self._data], len(diffusion.schedule)))
        drawn = []
        for start in range(0, SAMPLES[self._data], 100):
            noise = SeededNoise([mixed_seed(0, row) for row in range(start, start + 100)], self._spec.shape)
            *_, last = walk(chain, predict, Ancestral(), noise(), noise)
            drawn.append(last.x)
        found = evaluate(torch.cat(drawn), self._reference, self._features).scores["frechet"]
        return {"value": found.value, "error": found.error or 0.0}


def affordable_steps(config: Config, splits: Splits, seconds: float) -> int:
    """Return how many steps take so long here, by taking some: the learning rate's decay must know its end."""
    from iddpm.training import Session, Stepped

    tried = 0.05 * seconds
    with tempfile.TemporaryDirectory() as folder:
        events = Session(config, splits, Path(folder) / "run").events()
        times: list[float] = []
        for event in events:
            if isinstance(event, Stepped):
                times.append(time.perf_counter())
                if len(times) > 5 and times[-1] - times[4] > tried:
                    break
        events.close()
    return int((len(times) - 5) / (times[-1] - times[4]) * 0.95 * seconds)


def trained(config: Config, splits: Splits, keep: Path | None = None) -> tuple[Model, float]:
    """Return a model with its averaged weights, and the seconds of its training; the run is kept at `keep`."""
    from iddpm.training import Session

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        session = Session(config, splits, keep or Path(folder) / "run")
        for _ in session.events():
            pass
        return session.trainer.averaged_model(), time.perf_counter() - begun


def ours(data: str, splits: Splits, judge: Judge, seconds: float, keep: Path | None) -> dict[str, Any]:
    """Train iddpm for about so long, score it and judge its samples."""
    values = preset(data).model_dump()
    values["training"] |= {"validate_every": 0, "sample_every": 0, "checkpoint_every": 10**6}
    for section, changes in SHORT[data].items():
        values[section] |= changes
    tell("iddpm trains, and the machine should do nothing else")
    steps = affordable_steps(Config.model_validate(values), splits, seconds)
    values["training"]["steps"] = steps
    config = Config.model_validate(values)
    model, took = trained(config, splits, keep)
    tell("iddpm has trained, and is judged")
    bits = bound(model.diffusion, model.predict(), splits, data)
    return {
        "seconds": took,
        "optimizer_steps": steps,
        "images": steps * config.training.batch_size,
        "bits": bits,
        "fd": judge.distance(model.diffusion, model.predict()),
        "T": config.diffusion.num_timesteps,
        "changed": SHORT[data],
    }


def changes_in_words(changes: dict[str, dict[str, Any]]) -> str:
    """Return changes of a preset as fields and values."""
    pairs = [(f"{section}.{name}", value) for section, fields in changes.items() for name, value in fields.items()]
    words = [f"`{name}` {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in pairs]
    return ", ".join(words) if words else "nothing changed but the number of steps"


def page(studies: dict[str, dict[str, Any]]) -> str:
    """Return the page of all results so far, by data and contestant."""
    lines = [
        "# Quality per wall time",
        "",
        "`python -m benchmarks.quality digits` and `... photos` made this page: held-out bits/dim, and FD against",
        "training items, after training on two cores, each contestant with its own loop and defaults (one run each,",
        "seed 0). A peer's variance is the better of its two fixed ones, for bits/dim and for FD. FD is that of a",
        "small classifier's features: of the digits' classes, and of which photograph a crop is from and where in it.",
        "",
        "| data | contestant | wall time, s | optimizer steps | images | bits/dim | FD | machine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for data, contestants in studies.items():
        for name, result in contestants.items():
            bits = min(result["bits"].values()) if isinstance(result["bits"], dict) else result["bits"]
            fd = with_error(result["fd"]["value"], result["fd"]["error"], 2) if "fd" in result else "not judged"
            lines.append(
                f"| {data} | {name} | {result['seconds']:.0f} | {result['optimizer_steps']:,} | {result['images']:,} |"
                f" {bits:.3f} | {fd} | {provenance(result)} |"
            )
    lines += [
        "",
        f"Scored in {STEPS['digits']} (digits) and {STEPS['photos']} (photos) steps at most, on {COUNT['digits']} and"
        f" {COUNT['photos']} items. FD of {SAMPLES['digits']} and {SAMPLES['photos']} samples, drawn in"
        f" {SAMPLING_STEPS['digits']} and {SAMPLING_STEPS['photos']} evenly spaced steps, with the standard error of"
        " drawing both sets anew.",
    ]
    for data, contestants in studies.items():
        if "iddpm" in contestants:
            changes = changes_in_words(contestants["iddpm"]["changed"])
            lines += ["", f"iddpm trains {data} with its preset and {changes}."]
            lines += contestants["iddpm"].get("notes", [])
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("data", choices=list(COUNT), nargs="?")
    command.add_argument("--minutes", type=float, default=10)
    command.add_argument("--share", type=float, default=0.45, help="of the peers' time, for iddpm")
    command.add_argument("--only", choices=["iddpm", *PEERS])
    command.add_argument("--keep", type=Path, help="where to keep iddpm's run")
    arguments = command.parse_args(words)
    paths = {data: arguments.out / f"quality-{data}.json" for data in COUNT}
    if not arguments.page:
        if arguments.data is None:
            command.error("needs digits or photos")
        measure(arguments.data, paths[arguments.data], arguments)
    (arguments.out / "quality.md").write_text(page({data: read(path, {}) for data, path in paths.items()}))


def measure(data: str, path: Path, arguments: argparse.Namespace) -> None:
    """Train and judge the contestants that are asked for, and keep what each comes to."""
    splits = open_source(preset(data).data)
    judge = Judge(data, splits)
    results: dict[str, Any] = read(path, {})
    seconds = 60 * arguments.minutes
    for name in ("iddpm", *PEERS):
        if arguments.only in (None, name):
            if name == "iddpm":
                results[name] = ours(data, splits, judge, arguments.share * seconds, arguments.keep)
            else:
                results[name] = peer(name, data, splits, judge, seconds)
            results[name] |= measured()
            tell(f"{name} {results[name]}")
            write(path, results)


if __name__ == "__main__":
    main()
