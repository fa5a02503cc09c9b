"""What a report says: measured once for a checkpoint, kept beside the run, drawn as often as wanted."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iddpm.data import Splits, quantize
from iddpm.data.dataset import Dataset
from iddpm.data.scaling import Levels
from iddpm.evaluation.metrics.neighbours import nearest
from iddpm.files import replacing, write_json
from iddpm.model import Model
from iddpm.progress import Work
from iddpm.report.baselines import baselines
from iddpm.report.quality import judge, samples_needed
from iddpm.sampling import SamplerOptions, given_from, sample_batches
from iddpm.scoring.whole import ScoringOptions, scoring

FORMAT = 2


@dataclass(frozen=True)
class ReportOptions:
    """What to measure.

    samples: to show, and their seed. judged: samples to judge, of which those are the first; 0 for none.
    items: held-out items to score, None for all. strides: the chains whose bound is compared.
    """

    samples: int
    judged: int
    seed: int
    items: int | None
    strides: tuple[str | None, ...]


@dataclass(frozen=True)
class Progress:
    """`done` of `count` network evaluations of `what`."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Facts:
    """The measurements: `values` is plain JSON; the others are grey levels `[items, channels, *size]`."""

    values: dict[str, Any]
    samples: Levels
    neighbours: Levels


def known_facts(folder: Path, model: Model, options: ReportOptions) -> Facts | None:
    """The facts in `folder`, if they are of this model's weights and these options."""
    try:
        values = json.loads((folder / "facts.json").read_text())
        if values["of"] != _subject(model, options):
            return None
        with np.load(folder / "samples.npz", allow_pickle=False) as arrays:
            return Facts(values, arrays["samples"], arrays["neighbours"])
    except (OSError, ValueError, KeyError):
        return None


def measure(
    folder: Path, model: Model, splits: Splits, options: ReportOptions, batch_size: int = 128
) -> Iterator[Progress | Facts]:
    """Measure everything, yielding progress and in the end the facts, which are then in `folder` too."""
    values: dict[str, Any] = {"of": _subject(model, options)}
    samples: list[Levels] = []
    judged = samples_needed(splits, options.judged)
    count = max(options.samples, judged)
    stream = sample_batches(
        model,
        count,
        SamplerOptions(),
        seed=options.seed,
        given=given_from(model, splits.validation or splits.train, count),
        batch_size=batch_size,
    )
    for work in stream:
        samples.append(quantize((yield from _shown(work)), model.spec.levels))
    everything = np.concatenate(samples)
    drawn = everything[: options.samples]
    if judged:
        for news in judge(everything[:judged], splits):
            if isinstance(news, dict):
                values["quality"] = news
            else:
                yield Progress("judging", *news)
    rows, distances = _nearest_training(drawn, splits.train)
    values["distance"] = {"samples": float(np.median(distances))}

    held_out = splits.validation
    if held_out is not None:
        count = min(options.items or len(held_out), len(held_out))
        _, unseen = _nearest_training(held_out.items(np.arange(min(count, 512))), splits.train)
        values["distance"]["held_out"] = float(np.median(unseen))
        values["scores"] = []
        for stride in options.strides:
            yield from _score(values["scores"], model, held_out, stride, count, batch_size)
        found = baselines(splits.train, held_out, count)
        values["baselines"] = [{"name": each.name, **asdict(each.bits)} for each in found]
    facts = Facts(values, drawn, splits.train.items(rows))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "samples.npz") as beside, beside.open("wb") as file:
        np.savez(file, samples=facts.samples, neighbours=facts.neighbours)
    write_json(folder / "facts.json", values)
    yield facts


def _subject(model: Model, options: ReportOptions) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "step": model.step,
        "weights": model.weights,
        "samples": options.samples,
        "judged": options.judged,
        "seed": options.seed,
        "items": options.items,
        "strides": list(options.strides),
    }


def _shown(work: Work[Any], detail: str = "") -> Generator[Progress, None, Any]:
    """Tell how far the work is, and return its result."""
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            return stop.value
        yield Progress(progress.what + detail, progress.done, progress.total)


def _score(
    scores: list[dict[str, Any]], model: Model, data: Dataset, stride: str | None, count: int, batch_size: int
) -> Iterator[Progress]:
    diffusion = model.diffusion.strided(stride)
    options = ScoringOptions(count, batch_size=batch_size)
    score = asdict(
        (yield from _shown(scoring(model, data, diffusion, options), f" in {len(diffusion.schedule)} steps"))
    )
    del score["items"]
    scores.append(score)


MOST_NEIGHBOURS = 50_000
"""Training items that neighbours are looked for among, at most; evenly spread over the dataset."""
MOST_VALUES = 8_000_000
"""Values of training items that are in memory at once."""


def _nearest_training(items: Levels, train: Dataset) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the training data, and root mean square distances in grey levels."""
    candidates = np.linspace(0, len(train) - 1, min(len(train), MOST_NEIGHBOURS)).astype(np.int64)
    flat = items.reshape(len(items), -1).astype(np.float32)
    size = max(16, MOST_VALUES // flat.shape[1])
    parts = (train.items(candidates[start : start + size]) for start in range(0, len(candidates), size))
    rows, distances = nearest(flat, (part.reshape(len(part), -1).astype(np.float32) for part in parts))
    return candidates[rows], distances / np.sqrt(flat.shape[1])
