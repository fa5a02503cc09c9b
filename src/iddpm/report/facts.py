"""The measurements of a report: made once for a checkpoint, kept beside the run, drawn as often as wanted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iddpm.data import Splits, quantize
from iddpm.data.dataset import Dataset
from iddpm.data.scaling import Levels
from iddpm.evaluation.metrics.neighbours import nearest
from iddpm.files import read_arrays, replacing, write_json
from iddpm.model import Model
from iddpm.progress import Work
from iddpm.report.baselines import baselines
from iddpm.report.quality import judge, samples_needed
from iddpm.sampling import SamplerOptions, given_from, sample_batches
from iddpm.scoring.whole import ScoringOptions, scoring
from iddpm.versions import VERSIONS


@dataclass(frozen=True)
class ReportOptions:
    """The things to measure, and how many of each.

    samples: to show, and their seed. judged: samples to judge, of which those are the first; 0 for none.
    items: held-out items to score, None for all. strides: the chains whose bound is compared.
    """

    samples: int
    judged: int
    seed: int
    items: int | None
    strides: tuple[str | None, ...]


@dataclass(frozen=True)
class Facts:
    """The measurements: `values` is plain JSON; the others are grey levels `[items, channels, *size]`."""

    values: dict[str, Any]
    samples: Levels
    neighbours: Levels


def known_facts(folder: Path, model: Model, options: ReportOptions) -> Facts | None:
    """Return the facts in `folder`, if they are of this model's weights and these options."""
    try:
        values = json.loads((folder / "facts.json").read_text())
        arrays = read_arrays(folder / "samples.npz")
        return Facts(values, arrays["samples"], arrays["neighbours"]) if values["of"] == _of(model, options) else None
    except (OSError, ValueError, KeyError):
        return None


def measure(folder: Path, model: Model, splits: Splits, options: ReportOptions, batch_size: int = 128) -> Work[Facts]:
    """Measure everything, and keep the facts in `folder`."""
    values: dict[str, Any] = {"of": _of(model, options)}
    judged = samples_needed(splits, options.judged)
    samples = yield from _sample(model, splits, max(options.samples, judged), options.seed, batch_size)
    shown = samples[: options.samples]
    if judged:
        values["quality"] = yield from judge(samples[:judged], splits)
    rows, distances = _nearest_training(shown, splits.train)
    values["distance"] = {"samples": float(np.median(distances))}
    held_out = splits.validation
    if held_out is not None:
        count = min(options.items or len(held_out), len(held_out))
        _, distances = _nearest_training(held_out.items(np.arange(min(count, 512))), splits.train)
        values["distance"]["held_out"] = float(np.median(distances))
        values["scores"] = []
        for stride in options.strides:
            values["scores"].append((yield from _score(model, held_out, stride, count, batch_size)))
        scores = baselines(splits.train, held_out, count)
        values["baselines"] = [{"name": baseline.name, **asdict(baseline.bits)} for baseline in scores]
    facts = Facts(values, shown, splits.train.items(rows))
    with replacing(folder / "samples.npz") as beside, beside.open("wb") as file:
        np.savez(file, samples=facts.samples, neighbours=facts.neighbours)
    write_json(folder / "facts.json", values)
    return facts


def _sample(model: Model, splits: Splits, count: int, seed: int, batch_size: int) -> Work[Levels]:
    given = given_from(model, splits.validation or splits.train, count)
    samples: list[Levels] = []
    for work in sample_batches(model, count, SamplerOptions(), seed=seed, given=given, batch_size=batch_size):
        samples.append(quantize((yield from work), model.spec.levels))
    return np.concatenate(samples)


def _of(model: Model, options: ReportOptions) -> dict[str, Any]:
    return {
        "format": VERSIONS["facts"],
        "step": model.step,
        "weights": model.weights,
        "precision": model.precision,
        "samples": options.samples,
        "judged": options.judged,
        "seed": options.seed,
        "items": options.items,
        "strides": list(options.strides),
    }


def _score(model: Model, data: Dataset, stride: str | None, count: int, batch_size: int) -> Work[dict[str, Any]]:
    diffusion = model.diffusion.strided(stride)
    score = yield from scoring(model, data, diffusion, ScoringOptions(count, batch_size=batch_size))
    values = asdict(score)
    del values["items"]
    return values


MOST_NEIGHBOURS = 50_000
"""Training items to look for neighbours among, at most; evenly spread over the dataset."""
MOST_VALUES = 8_000_000
"""Values of training items that are in memory at once."""


def _nearest_training(items: Levels, train: Dataset) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of the training data, and root mean square distances in grey levels."""
    candidates = np.linspace(0, len(train) - 1, min(len(train), MOST_NEIGHBOURS)).astype(np.int64)
    flat = items.reshape(len(items), -1).astype(np.float32)
    size = max(16, MOST_VALUES // flat.shape[1])
    parts = (train.items(candidates[start : start + size]) for start in range(0, len(candidates), size))
    rows, distances = nearest(flat, (part.reshape(len(part), -1).astype(np.float32) for part in parts))
    return candidates[rows], distances / np.sqrt(flat.shape[1])
