from __future__ import annotations

import pytest

from iddpm.evaluation.metrics.rounding import rounded


@pytest.mark.parametrize(
    ("value", "doubt", "expected"),
    [
        (6.9468, 0.8952, ("6.95", "0.90")),
        (0.5, 0.0123, ("0.500", "0.012")),
        (123.4, 45.6, ("123", "46")),
        (1234.4, 456.0, ("1234", "456")),
        (-1e-9, 0.02, ("0.000", "0.020")),
        (1.0, 0.0, ("1.000", "0.000")),
        (1e-4, 1e-9, ("0.000100", "0.000000")),
        (-0.157, 0.029, ("-0.157", "0.029")),
    ],
)
def test_two_digits_of_the_error(value: float, doubt: float, expected: tuple[str, str]) -> None:
    assert rounded(value, doubt) == expected
