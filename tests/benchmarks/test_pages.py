"""Pages of results: each is what its command makes of the figures beside it, and of nothing else."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from benchmarks.results import RESULTS, measured, parser, provenance, sentence, with_error
from PIL import Image

PAGES = {
    "speed": ("compare", ["--page"]),
    "speed-avx512": ("compare", ["--page", "--name", "speed-avx512"]),
    "quality": ("quality", ["--page"]),
    "tuning": ("tuning", ["--page"]),
    "faults": ("faults", ["--page"]),
    "budget": ("budget", ["--page"]),
    "groups": ("groups", ["--page"]),
    **{f"few-steps-{data}": ("few_steps", [data, "--page"]) for data in ("digits", "photos", "photos-8")},
}
"""The benchmark that makes each page, and its words."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with the figures of all results and none of their pages."""
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def make(name: str, folder: Path) -> str:
    module, words = PAGES[name]
    with patch("benchmarks.few_steps.picture", lambda *given: Image.new("RGB", (8, 8))):
        import_module(f"benchmarks.{module}").main([*words, "--out", str(folder)])
    return (folder / f"{name}.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_its_command_makes(name: str, results: Path) -> None:
    assert make(name, results) == (RESULTS / f"{name}.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_names_its_command(name: str) -> None:
    assert f"python -m benchmarks.{PAGES[name][0]}" in (RESULTS / f"{name}.md").read_text()


def changed(value: Any) -> Any:
    """Return the figures with all but whole numbers doubled."""
    if isinstance(value, dict):
        return {key: changed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [changed(part) for part in value]
    return 2 * value if isinstance(value, float) else value


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"faults"}))
def test_other_figures_make_another_page(name: str, results: Path) -> None:
    before = make(name, results)
    for path in results.glob(f"{name}*.json"):
        path.write_text(json.dumps(changed(json.loads(path.read_text()))))
    after = make(name, results)
    assert re.findall(r"\d+\.\d+", before) != re.findall(r"\d+\.\d+", after)
    assert len(after.splitlines()) == len(before.splitlines())


@pytest.mark.slow
def test_scaling_is_drawn_from_its_figures(results: Path) -> None:
    import_module("benchmarks.scaling").main(["--page", "--out", str(results)])
    picture = (results / "scaling.svg").read_text()
    rows = json.loads((results / "scaling.json").read_text())["rows"]
    assert all(f"<!-- {row['value']:,} -->" in picture for row in rows)


def test_a_measurement_knows_its_machine_and_its_commit() -> None:
    record = measured()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert record["machine"]
    assert provenance({"machine": "a", "torch": "2", "date": "d", "commit": "c"}) == "a, torch 2, d, commit c"
    assert provenance({}, {"machine": "a"}, {"machine": "a"}, {"machine": "b"}) == "a; b"
    assert sentence([{}]) == []
    assert sentence([record])[1].startswith("Measured on ")


def test_errors_are_shown_where_there_are_any() -> None:
    assert with_error(1.2345, 0.0123, 3) == "1.234 ± 0.012"
    assert with_error(1.2345, 0, 2) == "1.23"


def test_results_go_to_the_documents_unless_told() -> None:
    assert parser("about").parse_args([]).out == RESULTS
