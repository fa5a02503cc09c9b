"""Results of evaluations, as a table and as a picture; comparing those that can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from iddpm.errors import UserError
from iddpm.evaluation.metrics.rounding import rounded

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
GOOD = {
    "frechet": "0 is best; larger for fewer images",
    "frechet_infinite": "0 is best",
    "spatial_frechet": "0 is best; larger for fewer images",
    "kernel": "0 is best",
    "inception": "best as the real images'",
    "precision": "1 is best",
    "recall": "1 is best",
    "density": "1 is best",
    "coverage": "1 is best",
    "authenticity": "copies have 0",
}
"""What a reader has to know of a score."""
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
    if entry["error"] is not None:
        return " +- ".join(rounded(entry["value"], entry["error"]))
    value, spread = rounded(entry["value"], entry.get("spread", 0.0))
    return f"{value} (spread {spread})" if "spread" in entry else value


def evaluation_lines(result: Result) -> list[str]:
    """What `iddpm evaluate` prints."""
    features = result["reference"]["features"]["name"]
    scores = result["scores"]
    shown = {name: number(scores[name]) for name in NAMES if name in scores}
    width = max(map(len, shown.values()))
    lines = [f"{name_of(name, features):<28}  {text:<{width}}  {GOOD[name]}" for name, text in shown.items()]
    if result["p_same"] is not None:
        least = 1 / (result["settings"]["permutations"] + 1)  # no smaller p can be told
        p = f"<= {least:.3f}" if result["p_same"] <= least else f"{result['p_same']:.3f}"
        lines.append(f"{'one distribution (p)':<28}  {p:<{width}}  below 0.05: the two sets differ")
    lines.append(f"{subject(result['samples']['images'])}, against {subject(result['reference']['images'])},")
    lines.append(f"in {features_of(result)}; +- is a standard error")
    return lines


def features_of(result: Result) -> str:
    """Whose features were compared."""
    features = result["reference"]["features"]
    return f"{features['name']} features (weights {features['weights']})"


def subject(images: dict[str, Any]) -> str:
    """What was judged, or against what, in words."""
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
        hint = (
            "; on other machines a classifier becomes another: share one iddpm reference file"
            if "weights" in what
            else ""
        )
        verb = "differ" if what.endswith(("s", "settings")) else "differs"
        raise UserError(f"{first}, {second}: {what} {verb}{shown}; evaluate both alike{hint}")
