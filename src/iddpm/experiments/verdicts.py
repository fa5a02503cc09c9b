"""From numbers to verdicts: one-sided tests, paired where runs are alike but for what is compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from scipy import stats

from iddpm.evaluation.results import rounded
from iddpm.experiments.experiment import Finding, Verdict

LEVEL = 0.05
"""Largest p of a finding that holds; and of its contrary, for one that does not."""


def lower(claim: str, pairs: Sequence[tuple[float, float]]) -> Finding:
    """That the first of each pair is below the second: a one-sided paired t-test over pairs."""
    return _tested(claim, pairs, sign=1)


def higher(claim: str, pairs: Sequence[tuple[float, float]]) -> Finding:
    """The same, that it is above."""
    return _tested(claim, pairs, sign=-1)


def _tested(claim: str, pairs: Sequence[tuple[float, float]], sign: int) -> Finding:
    differences = [first - second for first, second in pairs]
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return Finding(claim, "undecided", f"difference {mean:+.4g}, one pair: no error is known")
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    p = float(stats.t.cdf(sign * mean / error, len(differences) - 1)) if error else _certain(sign * mean)
    verdict: Verdict = "holds" if p < LEVEL else "does not hold" if p > 1 - LEVEL else "undecided"
    return Finding(claim, verdict, f"difference {signed(mean, error)}, p {shown(p)}, {len(pairs)} pairs")


def over_settings(by_setting: Iterable[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """A pair for every seed, of means over settings, from each setting's pairs: settings do not differ by chance."""
    return [
        (statistics.mean(first for first, _ in of_seed), statistics.mean(second for _, second in of_seed))
        for of_seed in zip(*by_setting, strict=True)
    ]


def compared(claim: str, first: tuple[float, float], second: tuple[float, float]) -> Finding:
    """That one value with its standard error is above another, independent of it."""
    difference, error = first[0] - second[0], math.hypot(first[1], second[1])
    p = float(stats.norm.cdf(-difference / error)) if error else _certain(-difference)
    verdict: Verdict = "holds" if p < LEVEL else "does not hold" if p > 1 - LEVEL else "undecided"
    return Finding(claim, verdict, f"difference {signed(difference, error)}, p {shown(p)}")


def _certain(difference: float) -> float:
    """p where every difference is this one; 0.5 where there is none."""
    return 0.5 if difference == 0 else float(difference > 0)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Their mean and its standard error, 0 for a single one."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.mean(values), error


def shown(p: float) -> str:
    """A p-value for a reader, after the letter p."""
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def signed(difference: float, error: float) -> str:
    """A difference with its sign and its error."""
    return f"{'+' if difference > 0 else ''}{plus_minus(difference, error)}"


def plus_minus(mean: float, error: float) -> str:
    """A mean with its error, to as many digits as the error allows."""
    return " ± ".join(rounded(mean, error)) if error else f"{mean:.4g}"
