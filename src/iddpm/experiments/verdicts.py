"""Verdicts on numbers: one-sided tests, paired where runs are alike but for what is compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from scipy import stats

from iddpm.evaluation.results import rounded
from iddpm.experiments.experiment import Finding, Verdict

LEVEL = 0.05
"""The largest p of a claim that holds; and of the contrary of one that does not hold."""


def lower(claim: str, first: Sequence[float], second: Sequence[float]) -> Finding:
    """Test whether `first` is below `second`, both seed by seed: a one-sided paired t-test."""
    return _tested(claim, first, second, sign=1)


def higher(claim: str, first: Sequence[float], second: Sequence[float]) -> Finding:
    """Test whether `first` is above `second`, in the same way."""
    return _tested(claim, first, second, sign=-1)


def _tested(claim: str, first: Sequence[float], second: Sequence[float], sign: int) -> Finding:
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return Finding(claim, "undecided", f"difference {mean:+.4g}, one pair: no error is known")
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    p = float(stats.t.cdf(sign * mean / error, len(differences) - 1)) if error else _certain(sign * mean)
    return Finding(claim, _verdict(p), f"{_difference(mean, error)}, p {_shown(p)}, {len(differences)} pairs")


def above(claim: str, first: tuple[float, float], second: tuple[float, float]) -> Finding:
    """Test whether a value with its standard error is above another one, independent of it."""
    difference, error = first[0] - second[0], math.hypot(first[1], second[1])
    p = float(stats.norm.cdf(-difference / error)) if error else _certain(-difference)
    return Finding(claim, _verdict(p), f"{_difference(difference, error)}, p {_shown(p)}")


Pair = tuple[Sequence[float], Sequence[float]]
"""The values that are compared, seed by seed."""


def over_settings(by_setting: Iterable[Pair]) -> tuple[list[float], list[float]]:
    """Return each seed's means over settings: settings do not differ by chance, so they are no further pairs."""
    first, second = zip(*by_setting, strict=True)
    return _means(first), _means(second)


def _means(by_setting: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.mean(values) for values in zip(*by_setting, strict=True)]


def _verdict(p: float) -> Verdict:
    return "holds" if p < LEVEL else "does not hold" if p > 1 - LEVEL else "undecided"


def _certain(difference: float) -> float:
    """Return p where every difference is this one; 0.5 where there is none."""
    return 0.5 if difference == 0 else float(difference > 0)


def _shown(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def _difference(difference: float, error: float) -> str:
    return f"difference {'+' if difference > 0 else ''}{plus_minus(difference, error)}"


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error, which is 0 for a single value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.mean(values), error


def mean_text(values: Sequence[float]) -> str:
    """Return the mean with its standard error, for a reader."""
    return plus_minus(*mean_and_error(values))


def plus_minus(mean: float, error: float) -> str:
    """Return a mean with its error, to as many digits as the error allows."""
    return " ± ".join(rounded(mean, error)) if error else f"{mean:.4g}"
