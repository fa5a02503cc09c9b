from __future__ import annotations

from typing import Any

import pytest

from iddpm.errors import UserError
from iddpm.evaluation.results import refuse_incomparable, rounded, title_of


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


def result(**samples: Any) -> dict[str, Any]:
    """A result as far as comparing goes."""
    reference = {"images": {"content": "c", "count": 500}, "features": {"name": "inception", "weights": "w"}}
    return {"samples": {"images": {"kind": "model", "count": 100, **samples}}, "reference": reference, "settings": {}}


def test_results_of_different_precision_are_not_compared() -> None:
    refuse_incomparable([result(precision="float32"), result(precision="float32")], ["a", "b"])
    refuse_incomparable([result(), result()], ["a", "b"])  # as good as they were before precision was recorded
    with pytest.raises(UserError, match=r"a, b: the precision .* differs \(float32, bfloat16\); evaluate both alike"):
        refuse_incomparable([result(precision="float32"), result(precision="bfloat16")], ["a", "b"])
    with pytest.raises(UserError, match=r"the precision that the model ran in differs \(unknown, float32\)"):
        refuse_incomparable([result(), result(precision="float32")], ["a", "b"])


def test_samples_that_no_model_drew_here_have_no_precision() -> None:
    refuse_incomparable([result(precision="bfloat16"), result(kind="data")], ["a", "b"])


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("images", "content", r"the reference's images differ \(c, other\)"),
        ("features", "name", r"the features differ \(inception, other\)"),
        ("features", "weights", "the features' weights differ .* share one iddpm reference file"),
    ],
)
def test_results_of_different_references_are_not_compared(section: str, key: str, message: str) -> None:
    other = result()
    other["reference"][section][key] = "other"
    with pytest.raises(UserError, match=f"a, b: {message}"):
        refuse_incomparable([result(), other], ["a", "b"])


def test_only_distances_of_inceptions_features_have_its_names() -> None:
    assert [title_of("frechet", features) for features in ("inception", "classifier")] == ["FID", "FD"]
    assert [title_of("recall", features) for features in ("inception", "classifier")] == ["recall", "recall"]
