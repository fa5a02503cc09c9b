"""Results of evaluations, as JSON, as a table and as a picture; comparing those that can be compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iddpm.errors import Setting, UserError
from iddpm.names import METRICS
from iddpm.versions import VERSIONS

if TYPE_CHECKING:
    from iddpm.evaluation.metrics.metric import QualityScore
    from iddpm.evaluation.scores import SampleQuality

UNKNOWN = "unknown"
"""The precision of results that were made before it was written into them."""
Result = dict[str, Any]
MUST_BE_EQUAL = (
    ("the features", "reference", "features", "name"),
    ("the features' weights", "reference", "features", "weights"),
    ("the features' preprocessing", "reference", "features", "preprocessing"),
    ("the images' size", "reference", "images", "size"),
    ("their channels", "reference", "images", "channels"),
    ("their grey levels", "reference", "images", "levels"),
    ("the reference's images", "reference", "images", "content"),
    ("the reference's number of images", "reference", "images", "count"),
    ("the number of samples, on which distances depend,", "samples", "images", "count"),
)


def result_of(quality: SampleQuality, samples: dict[str, Any], reference: dict[str, Any]) -> Result:
    """Return all that is known of an evaluation, as JSON: the scores, and the manifests of both sets."""
    return {
        "format": VERSIONS["evaluation"],
        "scores": {name: _as_json(score) for name, score in quality.scores.items()},
        "p_same": quality.p_same,
        "samples": samples,
        "reference": reference,
        "settings": quality.settings,
    }


def _as_json(score: QualityScore) -> dict[str, Any]:
    interval = score.interval
    spread = {} if score.spread is None else {"spread": score.spread}
    return {"value": score.value, "error": score.error, "interval": interval and list(interval), **spread}


def title_of(score: str, features: str) -> str:
    """Return a score's name as the field has it: only on Inception's features a Frechet distance is FID."""
    title: str = METRICS.fact(score, "title", score)
    return METRICS.fact(score, "inception", title) if features == "inception" else title


def shown_scores(*results: Result) -> list[str]:
    """Return the names of the scores that all results have, in the order in which they are shown."""
    return [name for name in METRICS if all(name in result["scores"] for result in results)]


def rounded(value: float, error: float) -> tuple[str, str]:
    """Round a score to the precision of its error: both to two digits of it (three decimals if it is 0), never -0.0."""
    digits = min(6, max(0, 1 - math.floor(math.log10(error)))) if error > 0 else 3
    text = f"{value:.{digits}f}"
    return (text.removeprefix("-") if float(text) == 0 else text), f"{error:.{digits}f}"


def number(entry: dict[str, Any]) -> str:
    """Return a score with its error, or with its spread if that is all there is."""
    if entry["error"] is not None:
        return " +- ".join(rounded(entry["value"], entry["error"]))
    value, spread = rounded(entry["value"], entry.get("spread", 0.0))
    return f"{value} (spread {spread})" if "spread" in entry else value


def evaluation_lines(result: Result) -> list[str]:
    """Return what `iddpm evaluate` prints."""
    features = result["reference"]["features"]["name"]
    texts = {name: number(result["scores"][name]) for name in shown_scores(result)}
    width = max(map(len, texts.values()))
    lines = [f"{title_of(name, features):<28}  {text:<{width}}  {METRICS.about(name)}" for name, text in texts.items()]
    if result["p_same"] is not None:
        least = 1 / (result["settings"]["permutations"] + 1)  # the smallest p that a permutation test can give
        p = f"<= {least:.3f}" if result["p_same"] <= least else f"{result['p_same']:.3f}"
        lines.append(f"{'one distribution (p)':<28}  {p:<{width}}  below 0.05: the two sets differ")
    lines.append(f"{subject(result['samples']['images'])}, against {subject(result['reference']['images'])},")
    lines.append(f"in {features_of(result)}; +- is a standard error")
    return lines


def features_of(result: Result) -> str:
    """Return whose features were compared, in words."""
    features = result["reference"]["features"]
    return f"{features['name']} features (weights {features['weights']})"


def subject(images: dict[str, Any]) -> str:
    """Return what was judged, or against what, in words."""
    if images["kind"] == "data":
        part = "" if images["split"] == "all" else f" ({images['split']})"
        return f"{images['count']} images of {images['source']}{part}"
    eta = f" with eta {images['eta']:g}" if images["sampler"] == "ddim" else ""
    return (
        f"{images['count']} samples of {images['source']} ({images['weights']} weights, step {images['training step']};"
        f" {images['steps']} steps, {images['sampler']}{eta}, seed {images['seed']})"
    )


def read_result(path: Path) -> Result:
    """Return the result in a file; UserError for a file that is something else."""
    way = ("make one with iddpm evaluate and ", Setting("out", "NAME.json"))
    try:
        result: Result = json.loads(path.read_text())
        if result["format"] != VERSIONS["evaluation"]:
            raise UserError(f"{path}: is of another version of iddpm", way="evaluate again")
        for side in ("samples", "reference"):
            result[side]["images"]["count"], result[side]["features"]["name"]
        result["scores"].items(), result["settings"], result["reference"]["images"]["content"]
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        reason = "is no result of iddpm evaluate" if path.exists() else "does not exist"
        raise UserError(f"{path}: {reason}", way=way) from None
    return result


def refuse_incomparable(results: list[Result], names: list[str]) -> None:
    """Raise UserError for the first thing in which two results differ that must not."""
    first = results[0]
    for result, name in zip(results[1:], names[1:], strict=True):
        for what, side, section, key in MUST_BE_EQUAL:
            _refuse_other([compared[side][section].get(key) for compared in (first, result)], what, names[0], name)
        _refuse_other([first["settings"], result["settings"]], "the scores' settings", names[0], name)
        images = [compared["samples"]["images"] for compared in (first, result)]
        if all(samples.get("kind") == "model" for samples in images):
            precisions = [samples.get("precision", UNKNOWN) for samples in images]
            _refuse_other(precisions, "the precision that the model ran in", names[0], name)


def _refuse_other(values: list[Any], what: str, first: str, second: str) -> None:
    if values[0] == values[1]:
        return
    shown = "" if isinstance(values[0], dict) else f" ({values[0]}, {values[1]})"
    hint = (
        "; on other machines a classifier becomes another: share one iddpm reference file" if "weights" in what else ""
    )
    verb = "differ" if what.endswith("s") else "differs"
    raise UserError(f"{first}, {second}: {what} {verb}{shown}", way=f"evaluate both alike{hint}")
