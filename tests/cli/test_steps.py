"""Quality against steps, and what it is made of, on the command line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

from iddpm.cli.main import main
from iddpm.data.scaling import Levels
from iddpm.diffusion.samplers import Ancestral
from iddpm.evaluation import images as judging
from iddpm.few_steps import study as few_steps
from iddpm.few_steps.kept import KeptStudy
from iddpm.files import locked
from iddpm.names import SAMPLERS
from tests.cli.conftest import as_json
from tests.conftest import CACHE

pytestmark = pytest.mark.slow


FEW = ["--steps", "4", "--count", "100", "--items", "40", "--device", "cpu"]


@pytest.fixture(scope="session")
def _reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference with a classifier of its own, which is trained once, and kept in the cache beside."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "kernels").symlink_to(CACHE / "kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDDPM_CACHE", str(folder))
        patch.setattr("iddpm.evaluation.classifier.STEPS", 60)
        assert main(["reference", "digits", "--out", str(folder / "reference.npz")]) == 0
    return folder / "reference.npz"


@pytest.fixture
def reference(_reference: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The reference, with its classifier in this test's cache."""
    cache = shutil.copytree(_reference.parent, tmp_path / "cache", symlinks=True)
    monkeypatch.setenv("IDDPM_CACHE", str(cache))
    return str(_reference)


def test_a_picture_and_a_table_that_an_interruption_does_not_lose(
    planned: Path, reference: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = few_steps.Study.judge
    begun: list[few_steps.Setting] = []

    def interrupt(self: few_steps.Study, setting: few_steps.Setting, *kept: Any):  # type: ignore[no-untyped-def]
        if len(begun) == 3:
            raise KeyboardInterrupt
        begun.append(setting)
        return (yield from judge(self, setting, *kept))

    words = [*FEW, "--reference", reference]
    with monkeypatch.context() as patch:
        patch.setattr(few_steps.Study, "judge", interrupt)
        assert main(["steps", str(planned), *words]) == 130
    assert not (planned / "steps.png").exists()
    capsys.readouterr()
    assert main(["steps", str(planned), *words]) == 0
    printed = capsys.readouterr()
    assert "steps: going on after 3 settings" in printed.err
    assert "steps: judging 28 settings, 100 samples each" in printed.err
    lines = printed.out.splitlines()
    by_method = {line.split()[2]: line.split()[:2] for line in lines[2:-2]}
    assert (by_method["learned"], by_method["jacobian"]) == (["4", "4"], ["4", "2"])  # evaluations and steps
    assert len(lines) == 1 + 1 + 30 + 2  # a head, the whole chain, ten methods by three strides, two lines
    assert re.search(r"cheapest within .*: --steps \d+ --stride \w+|no setting is within", lines[-2])
    assert lines[-1] == str(planned / "steps.png")
    with Image.open(planned / "steps.png") as image:
        assert image.size[0] > 1000
    whole, *rows = as_json(capsys, "steps", planned, *words)["rows"]  # all of it is kept
    assert (whole["method"], whole["evaluations"], whole["stride"]) == ("learned", 20, "whole")
    by = {(row["method"], row["stride"]): row for row in rows}
    assert by["jacobian", "uniform"]["steps"] == 2
    assert by["unipc", "planned"]["bits"] is None
    assert not list(planned.glob("*-lock"))


def test_bits_are_those_of_nll(planned: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*FEW, "--items", "300", "--methods", "learned", "--strides", "planned", "--reference", reference]
    row = as_json(capsys, "steps", planned, *words)["rows"][1]
    direct = as_json(capsys, "nll", planned, "--steps", "4", "--stride", "planned")
    assert row["bits"]["mean"] == pytest.approx(direct["total"]["mean"], rel=1e-3)


def test_a_sampler_from_outside(planned: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    SAMPLERS.register("mine", Ancestral, "a sampler of one's own")
    try:
        words = [*FEW, "--methods", "mine", "ddim", "--strides", "uniform", "--reference", reference]
        _, ddim, mine = as_json(capsys, "steps", planned, *words)["rows"]
    finally:
        SAMPLERS.unregister("mine")
    assert (ddim["method"], mine["method"], mine["sampler"], mine["bits"]) == ("ddim", "mine", "mine", None)
    assert mine["fd"]["value"] != ddim["fd"]["value"]
    assert (planned / "steps.png").stat().st_size > 0
    assert main(["steps", str(planned), *FEW, "--methods", "mine", "--reference", reference]) == 2  # it is gone


def test_after_another_plan_only_what_depends_on_it_is_judged_anew(
    planned: Path, reference: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ["--steps", "4", "4", "--methods", "learned", "calibrated"]  # 4 is judged once
    words = ["steps", planned, *FEW, *methods, "--reference", reference]
    before = as_json(capsys, *words)["rows"]
    assert main(["plan", str(planned), "--count", "40", "--seed", "1", "--device", "cpu"]) == 0
    judge = few_steps.Study.judge
    judged: list[tuple[str, str]] = []

    def watched(self: few_steps.Study, setting: few_steps.Setting, *kept: Any):  # type: ignore[no-untyped-def]
        judged.append((setting.method, setting.stride))
        return (yield from judge(self, setting, *kept))

    monkeypatch.setattr(few_steps.Study, "judge", watched)
    after = as_json(capsys, *words)["rows"]
    assert len(after) == 1 + 2 * 3
    anew = [("learned", "planned"), *(("calibrated", stride) for stride in ("uniform", "quadratic", "planned"))]
    assert judged == anew
    for old, new in zip(before, after, strict=True):
        uses_plan = (old["method"], old["stride"]) in anew
        assert (old == new) != uses_plan


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "analytic", "calibrated", "jacobian"])
def test_other_variances(planned: Path, variance: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "4", "--variance", variance, "--stride", "uniform"]
    own = as_json(capsys, "nll", planned, "--count", "10", "--steps", "4", "--stride", "uniform")
    other = as_json(capsys, "nll", planned, "--count", "10", *words)
    assert other["variance"] == variance
    assert other["total"]["mean"] != own["total"]["mean"]
    if variance in ("analytic", "calibrated"):
        assert other["total"]["mean"] < own["total"]["mean"]
    assert main(["sample", str(planned), *words, "--count", "2", "--out", str(planned / "a.png")]) == 0


@pytest.mark.parametrize("sampler", ["dpm++", "dpm++sde", "unipc"])
def test_solvers(planned: Path, sampler: str, tmp_path: Path) -> None:
    words = ["sample", str(planned), "--steps", "5", "--stride", "uniform", "--count", "2", "--sampler", sampler]
    assert main([*words, "--out", str(tmp_path / "a.png")]) == 0
    assert main([*words, "--out", str(tmp_path / "b.png"), "--threshold", "0.9"]) == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    words.remove("--stride")
    words.remove("uniform")
    assert main([*words, "--out", str(tmp_path / "c.png")]) == 0  # the plan is the ancestral sampler's
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_samples_that_were_drawn_are_not_drawn_again(
    planned: Path, reference: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ["--methods", "learned", "--strides", "planned", "--batch-size", "30"]
    words = [*FEW, *methods, "--reference", reference]
    keep, draw = KeptStudy.keep, judging.sample_batches
    begun_with: list[int] = []

    def interrupt(self: KeptStudy, setting: few_steps.Setting, number: int, batch: Levels) -> None:
        keep(self, setting, number, batch)
        if number == 2:
            raise KeyboardInterrupt

    def listen(*words: Any, first: int, **more: Any) -> Iterator[Tensor | None]:
        begun_with.append(first)
        return draw(*words, first=first, **more)

    with monkeypatch.context() as patch:
        patch.setattr(KeptStudy, "keep", interrupt)
        assert main(["steps", str(planned), *words]) == 130
    with monkeypatch.context() as patch:
        patch.setattr(judging, "sample_batches", listen)
        rows = as_json(capsys, "steps", planned, *words)["rows"]
    assert begun_with == [90, 0]
    assert not (planned / "steps-unfinished").exists()
    (planned / "steps.json").unlink()
    assert as_json(capsys, "steps", planned, *words)["rows"] == rows


def test_one_process_at_a_time_judges_a_run(planned: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    release = locked(planned / "steps-lock", "")
    assert main(["steps", str(planned), *FEW, "--reference", reference]) == 2
    assert "another process is judging this run's few steps; wait for it" in capsys.readouterr().err
    release()


def test_bits_per_dim_on_a_budget(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exact = as_json(capsys, "nll", planned, "--count", "50")
    estimate = as_json(capsys, "nll", planned, "--count", "50", "--error", "0.2")
    assert estimate["half_width"] <= 0.2
    assert abs(estimate["mean"] - exact["total"]["mean"]) < 0.4
    assert estimate["evaluations"] < estimate["of_all"] == 50 * 20
    assert main(["nll", str(planned), "--count", "50", "--error", "0.000001"]) == 0
    printed = capsys.readouterr()
    assert "more would take as long as the whole bound" in printed.err
    assert re.match(r"bits/dim  \d\.\d+ \+- \d\.\d+ \(95 % interval", printed.out)


def test_a_stored_reference_is_compared_with(planned: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    few = [*FEW, "--methods", "ddim", "--strides", "uniform"]
    stored = as_json(capsys, "steps", planned, *few, "--reference", reference)
    (planned / "steps.json").unlink()
    own = as_json(capsys, "steps", planned, *few)
    (planned / "steps.json").unlink()
    assert as_json(capsys, "steps", planned, *few, "--reference", "digits")["rows"] == own["rows"]
    assert stored["rows"][1]["fd"]["value"] == pytest.approx(own["rows"][1]["fd"]["value"], rel=1e-6)


BAD = {
    "a reference that is none": (["steps", "RUN", "--reference", "nothing.npz"], "nothing.npz"),
    "a reference without classes": (
        ["steps", "RUN", "--reference", "pictures", "--features", "classifier"],
        "--features: classifier needs data with classes",
    ),
    "a reference of other images": (["steps", "RUN", "--reference", "photos"], "its images are 8x8x3"),
    "no plan": (["steps", "BARE"], "there is no plan; make one with iddpm plan"),
    "no plan for a variance": (["nll", "BARE", "--variance", "analytic"], "is found by iddpm plan; run iddpm plan"),
    "no run": (["steps", "nothing"], "nothing is no run"),
    "too few steps": (["steps", "RUN", "--steps", "1"], "--steps: must be 2 ... 20"),
    "too many steps": (["steps", "RUN", "--steps", "21"], "--steps: must be 2 ... 20"),
    "seed": (["steps", "RUN", "--seed", "-1"], "--seed: must not be negative, got -1"),
    "batch size": (["nll", "RUN", "--batch-size", "0"], "--batch-size: must be at least 1, got 0"),
    "too few samples": (["steps", "RUN", "--count", "5"], "scores need at least 100 images"),
    "items": (["steps", "RUN", "--items", "301"], "--items: must be 1 ... 300, the held-out items"),
    "nothing": (["steps", "RUN", "--whole", "4"], "there is nothing to try; name some"),
    "no such chain": (
        ["steps", "RUN", "--strides", "ddim", "--steps", "16"],
        "--strides: no chain of ddim steps has these numbers of them (--steps)",
    ),
    "no method": (["steps", "RUN", "--methods"], "there is nothing to try; name some"),
    "another method": (["steps", "RUN", "--methods", "euler"], "--methods: euler is not known here; use some of"),
    "a plan's variance of a solver": (
        ["sample", "RUN", "--sampler", "dpm++", "--variance", "analytic"],
        "--variance: the sampler dpm++ has no variance, got analytic; leave it out",
    ),
    "no budget": (
        ["nll", "RUN", "--error", "0.1", "--count", "4", "--steps", "2"],
        "--error: the whole bound of 4 items in 2 steps takes less",
    ),
    "eta of a solver": (["sample", "RUN", "--sampler", "unipc", "--eta", "1"], "unipc has no eta"),
    "variance of a solver": (
        ["sample", "RUN", "--sampler", "dpm++", "--variance", "fixed_large"],
        "--variance: the sampler dpm++ has no variance, got fixed_large; leave it out",
    ),
    "two ways of clipping": (["sample", "RUN", "--no-clip", "--threshold", "0.9"], "--threshold: is a way of clipping"),
    "threshold": (["nll", "RUN", "--threshold", "0"], "--threshold: is a quantile"),
    "error": (["nll", "RUN", "--error", "0"], "--error: must be above 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_exit_code_2(
    planned: Path, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = BAD[name]
    bare = Path(shutil.copytree(planned, tmp_path / "bare"))
    (bare / "plan.npz").unlink()
    (tmp_path / "pictures").mkdir()
    for number in range(100):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / "pictures" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    places = {"RUN": str(planned), "BARE": str(bare)}
    assert main([places.get(word, word) for word in words]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("iddpm: ")]
    assert (printed.out, len(lines)) == ("", 1)
    assert message in lines[0]
    assert json.loads((planned / "config.json").read_text())
