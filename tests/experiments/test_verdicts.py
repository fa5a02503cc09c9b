"""Verdicts from numbers."""

import pytest
from scipy import stats

from iddpm.experiments.verdicts import above, higher, lower, over_settings, plus_minus

LOW, HIGH = [1.0, 2.0, 3.0, 1.5], [1.2, 2.1, 3.4, 1.6]


def test_a_paired_test_is_scipys() -> None:
    finding = lower("lower", LOW, HIGH)
    p = stats.ttest_rel(LOW, HIGH, alternative="less").pvalue
    assert finding.verdict == "holds"
    assert f"p = {p:.2g}" in finding.statistic
    assert "4 pairs" in finding.statistic


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (HIGH, LOW, "does not hold"),
        ([1.0, 2.3, 3.0, 1.6], [1.2, 2.0, 3.1, 1.6], "undecided"),
        ([1.0], [2.0], "undecided"),
        ([1.0, 2.0], [1.0, 2.0], "undecided"),
    ],
)
def test_the_contrary_and_the_unclear(first: list[float], second: list[float], verdict: str) -> None:
    assert lower("lower", first, second).verdict == verdict


def test_higher_is_lower_the_other_way_round() -> None:
    finding = higher("higher", HIGH, LOW)
    assert finding.verdict == "holds"
    assert higher("higher", LOW, HIGH).verdict == "does not hold"
    assert finding.statistic.startswith("difference +0.200 ")
    assert lower("lower", LOW, HIGH).statistic == finding.statistic.replace("+", "-", 1)


def test_two_values_with_errors() -> None:
    assert above("above", (1.0, 0.1), (0.5, 0.1)).verdict == "holds"
    assert above("above", (0.5, 0.1), (1.0, 0.1)).verdict == "does not hold"
    assert above("above", (0.6, 0.3), (0.5, 0.3)).verdict == "undecided"


@pytest.mark.parametrize(
    ("first", "second", "is_lower", "is_higher"),
    [(1.0, 1.5, "holds", "does not hold"), (1.5, 1.0, "does not hold", "holds"), (1.0, 1.0, "undecided", "undecided")],
)
def test_differences_without_any_error(first: float, second: float, is_lower: str, is_higher: str) -> None:
    sides = [first, first + 2], [second, second + 2]
    assert (lower("", *sides).verdict, higher("", *sides).verdict) == (is_lower, is_higher)
    assert above("", (first, 0.0), (second, 0.0)).verdict == is_higher


def test_settings_are_no_further_pairs() -> None:
    assert over_settings([([1.0, 2.0], [3.0, 4.0]), ([3.0, 6.0], [5.0, 5.0])]) == ([2.0, 4.0], [4.0, 4.5])


@pytest.mark.parametrize(
    ("mean", "error", "text"), [(3.14159, 0.012, "3.142 ± 0.012"), (123.4, 21.0, "123 ± 21"), (0.5, 0.0, "0.5")]
)
def test_digits_follow_the_error(mean: float, error: float, text: str) -> None:
    assert plus_minus(mean, error) == text
