"""Do the scores notice what they are for? Faults planted in real digits, a hundred times.

    python -m benchmarks.faults [--trials 100]

Every trial splits scikit-learn's 1,797 digits into a reference and another half at random, and passes parts of the
other half, or of the reference, off as samples. Writes docs/results/faults.json and faults.md. Some ten minutes on two
cores.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from benchmarks.results import measured, parser, provenance, read, tell, write
from iddpm.config import DataConfig
from iddpm.data import ArrayDataset, open_source
from iddpm.evaluation.features import ClassifierFeatures
from iddpm.evaluation.metrics.frechet import frechet_distance
from iddpm.evaluation.metrics.jackknife import jackknife
from iddpm.evaluation.metrics.kernel import same_distribution
from iddpm.evaluation.metrics.manifolds import manifolds
from iddpm.evaluation.metrics.moments import Moments
from iddpm.progress import finish

Z = 1.645
"""Standard errors of a difference beyond which it counts, on one side: 5 % of differences that are chance are."""
Scored = dict[str, tuple[float, float]]


def scored(generated: Tensor, real: Tensor, seed: int) -> Scored:
    """Return each score with its standard error, as `iddpm evaluate` has them."""

    def scores(rows: Tensor, real_rows: Tensor) -> dict[str, float]:
        ours, theirs = generated[rows], real[real_rows]
        distance = frechet_distance(Moments.of(ours), Moments.of(theirs))
        return {"frechet": distance, **manifolds(generated=ours, real=theirs).means()}

    values = scores(torch.arange(len(generated)), torch.arange(len(real)))
    errors = finish(jackknife(scores, len(generated), len(real), seed=seed))
    return {name: (value, errors[name]) for name, value in values.items()}


def differs(name: str, higher: Scored, lower: Scored) -> bool:
    """Return whether `higher` is above `lower` in a score by more than chance."""
    (a, a_error), (b, b_error) = higher[name], lower[name]
    return a - b > Z * (a_error**2 + b_error**2) ** 0.5


def blurred(items: np.ndarray, radius: float) -> np.ndarray:
    """Return each digit with a Gaussian blur, in 17 grey levels again."""
    pictures = [Image.fromarray(item[0].astype(np.float32) * 15.9375) for item in items]
    soft = [np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(radius))) for picture in pictures]
    return (np.stack(soft)[:, None] / 15.9375).round().astype(np.uint8)


def trial(number: int, features: Tensor, blurry: Tensor, labels: np.ndarray) -> dict[str, bool]:
    """Return which faults the scores notice in one split of the digits."""
    order = np.random.default_rng(number).permutation(len(features))
    reference, other = np.sort(order[:898]), np.sort(order[898:])
    real = features[reference]
    dropped = other[labels[other] != number % 10]
    as_many = np.sort(np.random.default_rng(1000 + number).choice(other, len(dropped), replace=False))
    others = np.sort(np.random.default_rng(3000 + number).choice(other, len(dropped), replace=False))
    whole, fewer, missing, control = (
        scored(features[rows], real, number) for rows in (other, as_many, dropped, others)
    )
    copies = np.random.default_rng(2000 + number).choice(reference, 449, replace=False)
    copied = scored(features[copies], real, number)
    half = scored(torch.cat([features[copies[:225]], features[other[:224]]]), real, number)
    blur = scored(blurry[other], real, number)
    return {
        "halves of one set differ (p < 0.05)": same_distribution(features[other], real, seed=number) < 0.05,
        "a tenth dropped at random lowers recall or coverage (chance)": differs("recall", fewer, control)
        or differs("coverage", fewer, control),
        "a class of ten dropped lowers recall": differs("recall", fewer, missing),
        "a class of ten dropped lowers coverage": differs("coverage", fewer, missing),
        "a class of ten dropped lowers recall or coverage": differs("recall", fewer, missing)
        or differs("coverage", fewer, missing),
        "training images passed off as samples lower authenticity": differs("authenticity", whole, copied),
        "half of them training images lowers authenticity": differs("authenticity", whole, half),
        "a blur of 0.4 pixels raises FD": blur["frechet"][0] > whole["frechet"][0],
        "a blur of 0.4 pixels raises FD by more than chance": differs("frechet", blur, whole),
    }


def page(study: dict[str, Any]) -> str:
    """Return the page of a study."""
    rows = "\n".join(f"| {fault} | {count} |" for fault, count in study["noticed"].items())
    trials = study["trials"]
    return f"""# Planted faults

`python -m benchmarks.faults --trials {trials}` made this page: {trials} trials on scikit-learn's digits, in the
features of a classifier of their classes. Each trial splits them into a reference (898) and another half (899) at
random. "Lowers" and "by more than chance" mean a difference beyond {Z} standard errors.

| what was noticed | of {trials} trials |
|---|---|
{rows}

{provenance(study)}, {study["seconds"]:.0f} s.
"""


def measure(trials: int) -> dict[str, Any]:
    """Return how often each fault is noticed in so many trials."""
    begun = time.perf_counter()
    data = open_source(DataConfig(source="digits", validation=0.0)).train
    rows = np.arange(len(data))
    labels = data.labels(rows)
    assert labels is not None
    network = finish(ClassifierFeatures.trained_on(data))
    items = data.items(rows)
    features = network.embed(items, 17).features
    soft = ArrayDataset(data.spec, blurred(items, 0.4))
    blurry = network.embed(soft.items(rows), 17).features
    counts: dict[str, int] = {}
    for number in range(trials):
        for fault, noticed in trial(number, features, blurry, labels).items():
            counts[fault] = counts.get(fault, 0) + noticed
        if number % 10 == 9:
            tell(f"{number + 1}/{trials} {counts}")
    return {
        "trials": trials,
        "noticed": counts,
        **measured(),
        "python": platform.python_version(),
        "seconds": time.perf_counter() - begun,
    }


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("--trials", type=int, default=100)
    arguments = command.parse_args(words)
    path = arguments.out / "faults.json"
    if not arguments.page:
        write(path, measure(arguments.trials))
    path.with_suffix(".md").write_text(page(read(path, None)))


if __name__ == "__main__":
    main()
