"""What is measured of a model is what the rest of the package says of it, and is enough to conclude from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iddpm.experiments import measures
from iddpm.experiments.data import held_out_of
from iddpm.experiments.experiment import JSON, Measure, Measured, Subject
from iddpm.experiments.measures import Bits, Judged, Terms
from iddpm.experiments.page import Page, plain
from iddpm.experiments.paper.gradient_noise import RUNS, Curve, NoiseScales
from iddpm.experiments.rivals import gan as gan_network
from iddpm.experiments.rivals.autoregressive_run import ExactBits
from iddpm.experiments.rivals.gan_run import JudgedGan
from iddpm.experiments.rivals.given import JudgedGiven, given_samples
from iddpm.experiments.scales import tiny
from iddpm.names import EXPERIMENTS, READINGS
from iddpm.progress import finish
from iddpm.scoring.whole import score

from .small import autoregressive, diffusion, gan, made

pytestmark = pytest.mark.slow

ITEMS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of diffusion."""
    return made(diffusion(), tmp_path_factory.mktemp("run"))


def take(measure: Measure[Any], subject: Subject, folder: Path, shared: Path = Path()) -> JSON:
    return finish(measure.take(subject, folder, shared))


@pytest.mark.parametrize(("variance", "clip"), [(None, True), ("fixed_large", False)])
def test_bits_of_a_short_chain_are_its_score(folder: Path, variance: str | None, clip: bool) -> None:
    run = diffusion()
    result = take(Bits("bits", ITEMS, 0.1, variance, clip=clip), run, folder)
    reading = None if variance is None else READINGS[variance]()
    held_out = held_out_of(run.config.data)
    expected = score(run.model(folder), held_out, count=ITEMS, seed=run.seed, clip=clip, reading=reading)
    assert result["bits"] == pytest.approx(expected.total.mean, rel=1e-6)
    assert result["error"] == pytest.approx(expected.total.error, rel=1e-5)


def test_bits_of_a_long_chain_are_estimated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = take(Bits("bits", ITEMS, 50.0), diffusion(), folder)
    monkeypatch.setattr(measures, "SHORT", 20)
    estimate = take(Bits("bits", ITEMS, 50.0), diffusion(), folder)
    assert estimate["half_width"] <= 50
    assert abs(estimate["bits"] - exact["bits"]) <= 2 * estimate["half_width"]


def test_bits_of_an_earlier_checkpoint(folder: Path, tmp_path: Path) -> None:
    run = diffusion()
    kept = replace(run, config=run.config.with_changes(training={"keep_checkpoints": 2}))
    made(kept, tmp_path)
    early, late = (take(Bits("bits", ITEMS, 50.0, step=step), kept, tmp_path)["bits"] for step in (4, None))
    assert early != late
    assert late == take(Bits("bits", ITEMS, 50.0), run, folder)["bits"]


def test_terms_add_up_to_the_bound(folder: Path) -> None:
    result = take(Terms("terms", ITEMS), diffusion(), folder)
    assert sum(result["terms"]) + result["prior"] == pytest.approx(result["bits"])
    assert len(result["terms"]) == len(result["timesteps"]) == 40
    assert result["items"] == ITEMS


def test_a_curve_has_all_validations(folder: Path) -> None:
    curve = take(Curve("curve"), diffusion(), folder)
    assert curve["step"] == [4, 8]
    assert all(bits > 0 for bits in curve["bits"])


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[type, JSON]]:
    """A result of every measure."""
    run, rival, other, place = diffusion(), autoregressive(), gan(), tmp_path_factory.mktemp("results")
    np.savez(place / "given.npz", np.random.default_rng(0).integers(0, 17, (100, 8, 8, 1), dtype=np.uint8))
    given = given_samples(str(place / "given.npz"), other.data, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "REFERENCE", 100)
        patch.setattr(gan_network, "SETTLING", 2)
        yield {
            Bits: take(Bits("bits", ITEMS, 50.0), run, folder),
            Terms: take(Terms("terms", ITEMS), run, folder),
            Curve: take(Curve("curve"), run, folder),
            NoiseScales: take(NoiseScales("noise", 4, 8), run, folder),
            Judged: take(Judged("fd", 100, "4", whole=True), run, folder, place),
            ExactBits: take(ExactBits("bits", ITEMS), rival, made(rival, place / "rival")),
            JudgedGan: take(JudgedGan("scores", 100), other, made(other, place / "gan"), place),
            JudgedGiven: take(JudgedGiven("scores"), given, place, place),
        }


def test_noise_scales_are_of_every_way_to_draw_timesteps(results: dict[type, JSON]) -> None:
    scales = results[NoiseScales]["scales"]
    assert scales.keys() == RUNS.keys()
    assert all(scale > 0 for scale in scales.values())


def test_samples_are_judged_by_the_same_reference(results: dict[type, JSON]) -> None:
    for measure in (Judged, JudgedGan, JudgedGiven):
        assert results[measure]["count"] == 100
        assert results[measure]["frechet"]["value"] > 0
        assert 0 <= results[measure]["recall"]["value"] <= 1


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_ends_in_a_page(
    name: str, results: dict[type, JSON], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From results as measures give them, the same for all cells; tests of verdicts have others."""
    for count in ("diffusion_run._flops_of_step", "rivals.gan_run._item_flops"):
        monkeypatch.setattr(f"iddpm.experiments.{count}", lambda *_: 10**9)
    monkeypatch.setattr("iddpm.experiments.paper.scaling.RESAMPLES", 20)
    experiment, scale = EXPERIMENTS[name](), tiny()
    cells = experiment.cells(scale, 2)
    assert len({(cell.subject.key, str(cell)) for cell in cells}) == len(cells)
    measured = [
        Measured(cell.labels, {measure.label: results[type(measure)] for measure in cell.measures}, 1.0, 2.0)
        for cell in cells
    ]
    outcome = experiment.conclude(scale, measured)
    page = Page(name, experiment, scale, cells, measured, outcome, f"iddpm reproduce {name}")
    text = page.write(tmp_path).read_text()
    assert outcome.findings
    assert all(f"| {finding.claim} | {finding.verdict} |" in text for finding in outcome.findings)
    assert all(note in text for note in outcome.notes)
    for table in page.tables():
        assert all(len(row) == len(table.header) for row in table.rows)
        assert len(plain(table)) == len(table.rows) + 1
    assert "nan" not in text
    values = json.loads((tmp_path / f"{name}-tiny.json").read_text())
    assert [cell["labels"] for cell in values["cells"]] == [cell.labels for cell in cells]
    figure = outcome.figure
    assert all(axes.has_data() and (axes.get_xlabel() or axes.get_ylabel()) for axes in figure.axes)
    with Image.open(tmp_path / f"{name}-tiny.png") as picture:
        assert picture.size == tuple(round(inches * figure.dpi) for inches in figure.get_size_inches())
