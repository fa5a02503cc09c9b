"""Verdicts from numbers."""

import pytest
from scipy import stats

from iddpm.experiments.verdicts import compared, higher, lower, plus_minus


def test_a_paired_test_is_scipys() -> None:
    pairs = [(1.0, 1.2), (2.0, 2.1), (3.0, 3.4), (1.5, 1.6)]
    finding = lower("lower", pairs)
    first, second = zip(*pairs, strict=True)
    p = stats.ttest_rel(first, second, alternative="less").pvalue
    assert finding.verdict == "holds"
    assert f"p = {p:.2g}" in finding.statistic
    assert "4 pairs" in finding.statistic


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(1.2, 1.0), (2.1, 2.0), (3.4, 3.0), (1.6, 1.5)], "does not hold"),
        ([(1.0, 1.2), (2.3, 2.0), (3.0, 3.1), (1.6, 1.6)], "undecided"),
        ([(1.0, 2.0)], "undecided"),
        ([(1.0, 1.0), (2.0, 2.0)], "undecided"),
    ],
)
def test_the_contrary_and_the_unclear(pairs: list[tuple[float, float]], verdict: str) -> None:
    assert lower("lower", pairs).verdict == verdict


def test_higher_is_lower_the_other_way_round() -> None:
    pairs = [(1.2, 1.0), (2.1, 2.0), (3.4, 3.0), (1.6, 1.5)]
    finding, contrary = higher("higher", pairs), higher("higher", [(low, high) for high, low in pairs])
    assert (finding.verdict, contrary.verdict) == ("holds", "does not hold")
    assert finding.statistic.startswith("difference +0.200 ")
    turned = lower("lower", [(low, high) for high, low in pairs])
    assert turned.statistic == finding.statistic.replace("+", "-", 1)


def test_two_values_with_errors() -> None:
    assert compared("above", (1.0, 0.1), (0.5, 0.1)).verdict == "holds"
    assert compared("above", (0.5, 0.1), (1.0, 0.1)).verdict == "does not hold"
    assert compared("above", (0.6, 0.3), (0.5, 0.3)).verdict == "undecided"


@pytest.mark.parametrize(
    ("first", "second", "below", "above"),
    [(1.0, 1.5, "holds", "does not hold"), (1.5, 1.0, "does not hold", "holds"), (1.0, 1.0, "undecided", "undecided")],
)
def test_differences_without_any_error(first: float, second: float, below: str, above: str) -> None:
    pairs = [(first, second), (first + 2, second + 2)]
    assert (lower("", pairs).verdict, higher("", pairs).verdict) == (below, above)
    assert compared("", (first, 0.0), (second, 0.0)).verdict == above


@pytest.mark.parametrize(
    ("mean", "error", "text"), [(3.14159, 0.012, "3.142 ± 0.012"), (123.4, 21.0, "123 ± 21"), (0.5, 0.0, "0.5")]
)
def test_digits_follow_the_error(mean: float, error: float, text: str) -> None:
    assert plus_minus(mean, error) == text
