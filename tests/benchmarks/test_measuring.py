"""Benchmarks on tiny settings: what they measure reaches their pages."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.contestants import Contestant, Scored
from benchmarks.matched import Size
from PIL import Image
from torch import Tensor

from benchmarks import (
    budget,
    compare,
    contestants,
    faults,
    few_steps,
    groups,
    matched,
    neighbours,
    quality,
    scaling,
    tuning,
)
from iddpm.cli.main import main
from iddpm.diffusion import linear_schedule
from iddpm.progress import Progress, Work
from tests.training.tiny import tiny

pytestmark = pytest.mark.slow

SIZE = Size("tiny", 8, 1, 32, (1,), 1, ())
SMALL = ["--network.channels", "32", "--network.channel-multipliers", "1", "--network.num-res-blocks", "1"]
SMALL += ["--network.attention-resolutions", "--training.steps", "2", "--training.batch-size", "8"]
SMALL += ["--diffusion.num-timesteps", "26", "--training.validate-every", "0", "--training.sample-every", "0"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that make quality's scores take no time."""
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 10)
    for name, value in (("COUNT", 4), ("STEPS", 2), ("SAMPLES", 100), ("SAMPLING_STEPS", 2)):
        monkeypatch.setattr(quality, name, {"digits": value, "photos": value})
    monkeypatch.setattr(quality, "REFERENCE", 100)


class StandIn(Contestant):
    """A peer that learns nothing."""

    def learner(
        self, size: Size, data: Callable[[], Tensor], steps: int
    ) -> tuple[Callable[[], None], Callable[[], Scored]]:
        """Return a step that draws a batch, and what was learned."""

        def step() -> None:
            assert data().shape == (quality.PEER_BATCH, *size.shape)

        return step, lambda: Scored(linear_schedule(100).betas, "eps", lambda x, t: torch.zeros_like(x))

    def network(self, size: Size) -> Any:
        raise NotImplementedError

    training = sampling = network  # type: ignore[assignment]


def test_quality(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "preset", lambda name: tiny(training={"steps": 10**4}))
    monkeypatch.setattr(quality, "PEERS", {"a peer": StandIn})
    quality.main(["digits", "--minutes", "0.02", "--out", str(tmp_path)])
    ours, peer = json.loads((tmp_path / "quality-digits.json").read_text()).values()
    assert ours["images"] == 16 * ours["optimizer_steps"] > 0
    assert peer["images"] == quality.PEER_BATCH * peer["optimizer_steps"] > 0
    assert peer["fd"] == min(peer["fd of each variance"].values(), key=lambda fd: fd["value"])
    text = (tmp_path / "quality.md").read_text()
    bits = min(peer["bits"].values())
    assert f"| digits | iddpm | {ours['seconds']:.0f} | {ours['optimizer_steps']:,} |" in text
    assert f"| {bits:.3f} | {peer['fd']['value']:.2f} ± {peer['fd']['error']:.2f} | {peer['machine']}" in text


def test_tuning(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "preset", lambda name: tiny())
    names = ["the preset", "the preset, seed 1", "no warm-up"]
    monkeypatch.setattr(tuning, "CHANGES", {name: tuning.CHANGES[name] for name in names})
    tuning.main(["--steps", "2", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "tuning.json").read_text())["results"]
    text = (tmp_path / "tuning.md").read_text()
    assert list(results) == names
    for name, result in results.items():
        assert f"| {name} | {result['bits']:.3f} |" in text


def test_budget(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["train", "digits", "--run", str(run), *SMALL]) == 0
    words = [str(run), "--error", "0.5", "--count", "4", "--trials", "2", "--passes", "2", "--repeats", "1"]
    for _ in range(2):  # the second finds everything done
        budget.main([*words, "--out", str(tmp_path)])
        (result,) = json.loads((tmp_path / "budget.json").read_text())
        assert (result["T"], result["items"], result["trials"], result["of_all"]) == (26, 4, 2, 104)
        assert f"% of 2 | {result['evaluations']:,.0f} |" in (tmp_path / "budget.md").read_text()


@pytest.mark.slow
def test_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 60)
    faults.main(["--trials", "1", "--out", str(tmp_path)])
    noticed = json.loads((tmp_path / "faults.json").read_text())["noticed"]
    assert noticed["training images passed off as samples lower authenticity"] == 1
    text = (tmp_path / "faults.md").read_text()
    assert all(f"| {fault} | {count} |" in text for fault, count in noticed.items())


@pytest.mark.slow
def test_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 10)
    steps = "--steps 10 16 25 --items 8 --count 100 --strides uniform planned"
    steps += " --methods learned fixed_small fixed_large calibrated"
    data = few_steps.Data("digits", " ".join(SMALL), "--count 8 --longest 25", steps, 8, {16: 0.05})
    monkeypatch.setattr(few_steps, "DATA", {"digits": data})

    def command(*words: str) -> str:
        capsys.readouterr()
        assert main([*words, *(["--device", "cpu"] if words[0] != "train" else [])]) == 0
        return capsys.readouterr().out

    monkeypatch.setattr(few_steps, "command", command)
    few_steps.main(["digits", "--seeds", "1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    (study,) = json.loads((tmp_path / "few-steps-digits.json").read_text())
    assert {row["evaluations"] for row in study["rows"]} == {10, 16, 25, 26}
    with Image.open(tmp_path / "few-steps-digits.png") as picture:
        assert picture.format == "PNG"
    text = (tmp_path / "few-steps-digits.md").read_text()
    row = few_steps.find(study["rows"], "learned", "planned", 25)
    assert f"{row['fd']['value']:.2f} ± {row['fd']['error']:.2f}" in text


def test_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planted:
        """A store whose runs are done."""

        def __init__(self, folder: Path) -> None:
            self.results = {"bits": {"bits": 3.25}, "fd": {"frechet": {"value": 7.5}}}

        def work(self, cells: list[Any]) -> Work[list[Planted]]:
            yield Progress("runs", 0, len(cells))
            return [self] * len(cells)

    monkeypatch.setattr(groups, "Store", Planted)
    monkeypatch.setattr(groups, "picture", lambda store, cells: Image.new("RGB", (8, 8)))
    groups.main(["--seeds", "1", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    assert (tmp_path / "groups.md").read_text().count("| 3.25 | 7.5 |") == 6
    assert (tmp_path / "groups.png").is_file()


def test_neighbours(tmp_path: Path) -> None:
    neighbours.main(["--rows", "200", "--dimensions", "8", "--out", str(tmp_path)])
    study = json.loads((tmp_path / "neighbours.json").read_text())
    assert study["ratio"] == study["seconds of the scores"] / study["seconds of the products"]
    assert 0 < study["peak GiB of the process"] < 8


@pytest.mark.parametrize("work", ["sampling", "training"])
def test_scaling(work: str) -> None:
    settings = {"work": work, "batch": 2, "steps": 2, "side": 8, "count": 2, "items": 4}
    measurement = scaling.measure(settings)
    assert measurement["seconds"] > 0
    assert measurement["bytes"] > 2**20


def tasks(*works: str) -> io.StringIO:
    return io.StringIO("".join(f'{{"work": "{work}", "size": "T", "batch": 2, "seconds": 0}}\n' for work in works))


@pytest.mark.parametrize("name", contestants.CONTESTANTS)
def test_contestants_answer(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if "iddpm" not in name:
        pytest.importorskip(name.replace("-", "_"))
    monkeypatch.setattr(contestants, "STEPS", 2)
    monkeypatch.setattr(contestants, "SIZES", {"T": SIZE})
    works = ["forward", "training", "sampling", *(["scoring"] if "iddpm" in name else [])]
    monkeypatch.setattr(sys, "stdin", tasks("facts", *works))
    contestants.serve(contestants.CONTESTANTS[name]())
    facts, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert facts["parameters"] == matched.parameters(contestants.CONTESTANTS[name]().network(SIZE))
    assert facts["flops"] > 0
    assert len(answers) == len(works)
    assert all(answer["seconds"] > 0 and answer["peak_bytes"] > 2**20 for answer in answers)


def test_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planted:
        """A contestant whose every call takes a second, and twice that where it is not ours."""

        def __init__(self, name: str) -> None:
            self._seconds = 1.0 if "iddpm" in name else 2.0

        def ask(self, case: compare.Case, seconds: float) -> dict[str, float]:
            if case.work == "facts":
                return {"parameters": 10**6, "flops": 10**9}
            return {"seconds": self._seconds, "peak_bytes": 2**30}

        def end(self) -> None:
            pass

    monkeypatch.setattr(compare, "Process", Planted)
    monkeypatch.setattr(compare, "peaks", lambda: {"matrix product": 1e12, "3x3 convolution": 5e11})
    compare.main(["--rounds", "2", "--sizes", "S", "--out", str(tmp_path)])
    text = (tmp_path / "speed.md").read_text()
    assert "| forward S b64 | 64.0 | 32.0 | 32.0 | **2.00** (2.00 to 2.00) | 13% |" in text
    assert "| sampling S b1 | 0.040 (0.040 to 0.040) |" in text  # a step of 25
    assert "| S b128 | 1024 | 1024 | 1024 |" in text
