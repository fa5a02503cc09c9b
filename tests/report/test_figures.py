from __future__ import annotations

import subprocess
import sys
from typing import Any

import matplotlib
import pytest

from iddpm.report import figures

SCORE: dict[str, Any] = {
    "timesteps": [0, 5, 10],
    "terms": [2.0, 0.5, 0.25],
    "term_errors": [0.1, 0.1, 0.1],
    "total": {"mean": 2.75, "error": 0.1},
}
RECORDS: list[dict[str, Any]] = [
    {"step": 1, "simple": 1.0, "vlb": 3.0, "simple_q0": 0.5},
    {"step": 2, "validation_bits": 4.0, "validation_error": 0.1, "validation_steps": 50},
]


@pytest.mark.slow
def test_importing_and_drawing_changes_nothing_about_other_figures() -> None:
    code = (
        "import matplotlib; before = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False);"
        "import iddpm.report.figures as figures; figures.terms(" + repr(SCORE) + ");"
        "assert before == (dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_figures_look_the_same_whatever_the_process_has_set() -> None:
    drawn = [figures.losses(RECORDS), figures.terms(SCORE), figures.steps_curve([SCORE, SCORE])]
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.fonttype": "path"}):
        assert drawn[1] == figures.terms(SCORE)
    assert all(figure.startswith("<svg") and "bits/dim</text>" in figure for figure in drawn)
