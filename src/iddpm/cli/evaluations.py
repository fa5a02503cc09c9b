"""Results of evaluations, as a table and as a picture; comparing those that can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from iddpm.errors import UserError

Result = dict[str, Any]
NAMES = {
    "frechet": "FD",
    "frechet_infinite": "FD, infinitely many samples",
    "spatial_frechet": "sFD",
    "kernel": "KD",
    "inception": "classifier score",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "authenticity": "authenticity",
}
INCEPTION_NAMES = {
    "frechet": "FID",
    "frechet_infinite": "FID, infinitely many samples",
    "spatial_frechet": "sFID",
    "kernel": "KID",
    "inception": "Inception score",
}
MUST_BE_EQUAL = (
    ("the features", "features", "name"),
    ("the features' weights", "features", "weights"),
    ("the features' preprocessing", "features", "preprocessing"),
    ("the images' size", "images", "size"),
    ("their channels", "images", "channels"),
    ("their grey levels", "images", "levels"),
)


def name_of(score: str, features: str) -> str:
    """As the field calls it: only on Inception's features a Frechet distance is FID."""
    return INCEPTION_NAMES.get(score, NAMES[score]) if features == "inception" else NAMES[score]


def number(entry: dict[str, Any]) -> str:
    """A score with its error, or its spread where that is all there is."""
    value = f"{entry['value']:.4g}" if abs(entry["value"]) >= 10 else f"{entry['value']:.3f}"
    if abs(entry["value"]) < 0.1:
        value = f"{entry['value']:.5f}"
    digits = len(value.partition(".")[2])
    if entry["error"] is not None:
        return f"{value} +- {entry['error']:.{max(1, digits)}f}"
    return f"{value} (spread {entry['spread']:.{max(1, digits)}f})" if "spread" in entry else value


def evaluation_lines(result: Result) -> list[str]:
    """What `iddpm evaluate` prints."""
    features = result["reference"]["features"]["name"]
    lines = [
        f"{name_of(name, features):<28}  {number(result['scores'][name])}" for name in NAMES if name in result["scores"]
    ]
    if result["p_same"] is not None:
        lines.append(f"{'one distribution (p)':<28}  {result['p_same']:.3f}")
    lines.append(f"{_subject(result['samples']['images'])}, against {_subject(result['reference']['images'])},")
    lines.append(
        f"in {features} features (weights {result['reference']['features']['weights']}); +- is a standard error"
    )
    return lines


def _subject(images: dict[str, Any]) -> str:
    if images["kind"] == "data":
        part = "" if images["split"] == "all" else f" ({images['split']})"
        return f"{images['count']} images of {images['source']}{part}"
    eta = f" with eta {images['eta']:g}" if images["sampler"] == "ddim" else ""
    return (
        f"{images['count']} samples of {images['source']} ({images['weights']} weights, step {images['training step']};"
        f" {images['steps']} steps, {images['sampler']}{eta}, seed {images['seed']})"
    )


def read_result(path: Path) -> Result:
    """The result in a file; UserError for a file that is something else."""
    try:
        result = json.loads(path.read_text())
        if result["format"] != 1:
            raise UserError(f"{path}: is of another version of iddpm; evaluate again")
        for side in ("samples", "reference"):
            result[side]["images"]["count"], result[side]["features"]["name"]
        result["scores"].items(), result["settings"], result["reference"]["images"]["content"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        reason = "is no result of iddpm evaluate" if path.exists() else "does not exist"
        raise UserError(f"{path}: {reason}; make one with: iddpm evaluate ... --out NAME.json") from None
    return result  # type: ignore[no-any-return]


def refuse_incomparable(results: list[Result], names: list[str]) -> None:
    """UserError for the first thing in which two results differ that must not."""
    first = results[0]
    for result, name in zip(results[1:], names[1:], strict=True):
        for what, section, key in MUST_BE_EQUAL:
            _same(first["reference"][section].get(key), result["reference"][section].get(key), what, names[0], name)
        for what, key in (("the reference's images", "content"), ("the reference's number of images", "count")):
            _same(first["reference"]["images"][key], result["reference"]["images"][key], what, names[0], name)
        counts = [each["samples"]["images"]["count"] for each in (first, result)]
        _same(counts[0], counts[1], "the number of samples, on which distances depend,", names[0], name)
        _same(first["settings"], result["settings"], "the scores' settings", names[0], name)


def _same(ours: object, theirs: object, what: str, first: str, second: str) -> None:
    if ours != theirs:
        shown = f" ({ours}, {theirs})" if not isinstance(ours, dict) else ""
        raise UserError(
            f"{first}, {second}: {what} differ{'' if what.endswith('s') else 's'}{shown}; evaluate both alike"
        )
