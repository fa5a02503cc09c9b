"""Planning on the command line, and what uses a plan."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iddpm.cli.main import main
from iddpm.errors import UserError
from iddpm.few_steps.kept import KeptSums
from iddpm.few_steps.plan import StoredPlan
from iddpm.files import locked
from tests.cli.conftest import FEW, as_json

pytestmark = pytest.mark.slow


def test_a_plan_is_kept_with_the_run_and_used(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(run), *FEW]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = ["steps", "uniform", "ddim", "quadratic", "planned", "fixed_small", "fixed_large", "analytic", "calibrated"]
    assert lines[0].endswith("; -: no such chain")
    assert lines[1].split() == head
    assert lines[-1] == str(run / "plan.npz")
    assert [line.split()[0] for line in lines[2:-1]] == ["4", "8", "10", "16", "20"]
    for line in lines[2:-1]:
        *strides, planned, _, _, analytic, calibrated = (float(word) for word in line.split()[1:] if word != "-")
        assert planned <= min(strides) + 1e-4
        assert calibrated <= analytic + 1e-4
    words = ["nll", run, "--count", "40", "--steps", "8"]
    planned, uniform, quadratic = (
        as_json(capsys, *words, *stride) for stride in ([], ["--stride", "uniform"], ["--stride", "quadratic"])
    )
    assert as_json(capsys, *words, "--stride", "planned") == planned
    assert planned["timesteps"] not in (uniform["timesteps"], quadratic["timesteps"])
    assert len(planned["timesteps"]) == 8
    assert planned["total"]["mean"] < uniform["total"]["mean"]
    table = as_json(capsys, "plan", run, *FEW)["bits_per_dim"]
    assert planned["total"]["mean"] == pytest.approx(table[7]["planned"]["model"], rel=0.05)
    for row in table:
        others = [row[stride] for stride in ("uniform", "ddim", "quadratic") if row[stride] is not None]
        assert row["planned"]["model"] <= min(others) + 1e-9
    sampled = as_json(
        capsys, "sample", run, "--steps", "3", "--stride", "planned", "--count", "2", "--out", run / "a.png"
    )
    assert sampled["timesteps"][-1] == 19  # samples begin with noise alone, whatever is cheapest
    assert len(sampled["timesteps"]) == 3
    evenly = as_json(capsys, "sample", run, "--steps", "8", "--count", "2", "--out", run / "a.png")
    assert evenly["timesteps"] == uniform["timesteps"]  # plans are for likelihoods
    assert evenly["precision"] == planned["precision"] == "float32"
    assert main(["nll", str(run), "--steps", "8", "--count", "2"]) == 0
    assert "as planned in" in capsys.readouterr().err
    assert main(["nll", str(run), "--steps", "20", "--count", "2"]) == 0  # of 20
    printed = capsys.readouterr()
    assert ("all 20 steps" in printed.out, printed.err) == (True, "")
    assert main(["nll", str(run), "--steps", "8", "--data", "nowhere"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_plan_of_other_weights(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nll", str(planned), "--count", "5", "--steps", "8", "--weights", "raw"]
    capsys.readouterr()
    assert main([*words, "--stride", "planned"]) == 2
    way = rf"plan anew: iddpm plan {re.escape(str(planned))} --weights raw"
    message = rf"plan: .*plan.npz was made for other weights \(\w+, asked for raw, \w+\); {way}"
    assert re.search(message, capsys.readouterr().err)
    assert main(words) == 0
    assert "taking evenly spaced steps" in capsys.readouterr().err
    assert main(["nll", str(planned), "--count", "5", "--steps", "8", "--stride", "planned", "--no-clip"]) == 2
    assert f"other clipping (to the data's range, asked for none); plan anew: iddpm plan {planned} --no-clip" in (
        capsys.readouterr().err
    )
    assert main(["nll", str(planned), "--count", "5", "--steps", "8", "--stride", "planned", "--threshold", "0.9"]) == 2
    assert f"asked for at the quantile 0.9); plan anew: iddpm plan {planned} --threshold 0.9" in capsys.readouterr().err


def test_a_plan_of_another_schedule_or_parameterization(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--training.steps", "1", "--training.validate-every", "0", "--training.sample-every", "0"]
    changes = (
        ("schedule", ["--diffusion.cosine-offset", "0.1"]),
        ("parameterization", ["--diffusion.variance", "fixed_small", "--objective.kind", "simple"]),
    )
    for what, change in changes:
        other = planned.parent / what
        assert main(["train", str(planned / "config.json"), "--run", str(other), *flags, *change]) == 0
        shutil.copy(planned / "plan.npz", other)
        capsys.readouterr()
        assert main(["sample", str(other), "--steps", "5", "--stride", "planned"]) == 2
        assert re.search(rf"plan.npz was made for another {what} \(.*; plan anew: iddpm plan ", capsys.readouterr().err)


def test_an_interrupted_plan_goes_on(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = as_json(capsys, "plan", run, *FEW)
    (run / "plan.npz").unlink()
    keep = KeptSums.keep

    def interrupt(self: KeptSums, statistics: Any) -> None:
        keep(self, statistics)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeptSums, "keep", interrupt)
        assert main(["plan", str(run), *FEW]) == 130
    assert not (run / "plan.npz").exists()
    capsys.readouterr()
    assert main(["plan", str(run), *FEW, "--json"]) == 0
    printed = capsys.readouterr()
    assert "plan: going on after 20 items" in printed.err
    assert json.loads(printed.out) == whole
    assert not list(run.glob("*unfinished*"))


def test_fewer_candidates_and_lengths(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = as_json(capsys, "plan", run, *FEW, "--candidates", "10", "--longest", "4")["bits_per_dim"]
    assert [row["steps"] for row in table] == [1, 2, 3, 4]
    capsys.readouterr()
    assert main(["nll", str(run), "--count", "5", "--steps", "5", "--stride", "planned"]) == 2
    assert "--steps: must be 1 ... 4, the lengths that were planned, got 5" in capsys.readouterr().err
    assert main(["nll", str(run), "--count", "5", "--steps", "12", "--stride", "planned"]) == 2
    assert "12" in capsys.readouterr().err


def test_the_same_plan_is_not_made_twice(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = as_json(capsys, "plan", run, *FEW)
    before = (run / "plan.npz").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("iddpm.few_steps.making.jump_statistics", None)
        assert as_json(capsys, "plan", run, *FEW) == whole
        shorter = as_json(capsys, "plan", run, *FEW, "--longest", "5")
    assert shorter["bits_per_dim"] == whole["bits_per_dim"][:5]
    assert (run / "plan.npz").read_bytes() == before
    assert main(["plan", str(run), *FEW]) == 0
    assert "plan.npz is up to date" in capsys.readouterr().err


def test_one_process_at_a_time_plans_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = locked(run / "plan-lock", "")
    assert main(["plan", str(run), *FEW]) == 2
    assert "plan.npz: another process is making this plan; wait for it" in capsys.readouterr().err
    release()
    assert main(["plan", str(run), *FEW]) == 0


def test_a_plan_that_takes_the_place_of_another_is_announced(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for candidates, is_announced in (("8", False), ("7", True), ("7", False)):
        assert main(["plan", str(run), *FEW, "--candidates", candidates]) == 0
        rest = "steps on 40 items with seed 0"
        message = f"chooses up to 8 of 8 {rest}; it will be replaced by one that chooses up to 7 of 7 {rest}"
        assert (message in capsys.readouterr().err) == is_announced
    assert main(["plan", str(run), *FEW, "--candidates", "7", "--seed", "1"]) == 0
    assert "up to 7 of 7 steps on 40 items with seed 1" in capsys.readouterr().err
    assert main(["plan", str(run), *FEW, "--candidates", "7", "--no-clip"]) == 0
    assert "is for other weights or other clipping; it will be replaced" in capsys.readouterr().err
    assert main(["nll", str(run), "--count", "5", "--steps", "5", "--stride", "planned"]) == 2
    assert f"; plan anew: iddpm plan {run} --clip" in capsys.readouterr().err


BAD = {
    "count": (["plan", "RUN", "--count", "0"], "--count: must be at least 1"),
    "too many items": (["plan", "RUN", "--count", "301"], "--count: must be 1 ... 300, the items to plan on, got 301"),
    "longest": (["plan", "RUN", "--longest", "21"], "--longest: must be 1 ... 20, the steps to choose from, got 21"),
    "candidates": (["plan", "RUN", "--candidates", "0"], "--candidates: must be at least 2"),
    "negative steps": (
        ["sample", "RUN", "--steps", "-3"],
        "--steps: must be 1 ... 20, the length of the chain, got -3",
    ),
    "no run": (["plan", "runs/nothing"], "no such run"),
    "no plan": (["sample", "RUN", "--steps", "5", "--stride", "planned"], "there is no plan; make one with iddpm plan"),
    "zero steps": (["sample", "RUN", "--steps", "0", "--stride", "quadratic"], "--steps: must be 1 ... 20"),
    "too many steps": (["sample", "RUN", "--steps", "21", "--stride", "quadratic"], "--steps: must be 1 ... 20"),
    "a stride without steps": (
        ["sample", "RUN", "--stride", "quadratic"],
        "--stride: quadratic needs a number of steps",
    ),
    "two strides": (["nll", "RUN", "--steps", "ddim5", "--stride", "quadratic"], '"ddim5" is a stride of its own'),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_exit_code_2(
    run: Path, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = BAD[name]
    before = sorted(run.rglob("*"))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main([str(run) if word == "RUN" else word for word in words]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("iddpm: ")]
    assert (printed.out, len(lines)) == ("", 1)
    assert message in lines[0]
    assert sorted(run.rglob("*")) == before


def test_a_plan_of_an_earlier_version_is_replaced(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = planned / "plan.npz"
    with np.load(path) as file:
        arrays = dict(file)
    manifest = json.loads(str(arrays["manifest"])) | {"format": 1, "about": {}}
    np.savez(path, **arrays | {"manifest": np.array(json.dumps(manifest))})
    assert main(["nll", str(planned), "--count", "5", "--steps", "5", "--stride", "planned"]) == 2
    assert f"is of another version of iddpm; plan anew: iddpm plan {planned}" in capsys.readouterr().err
    assert main(["plan", str(planned), *FEW]) == 0
    assert "is damaged, or of another version; it will be replaced" in capsys.readouterr().err
    assert main(["nll", str(planned), "--count", "5", "--steps", "5", "--stride", "planned"]) == 0


def test_a_plan_of_damaged_bytes(planned: Path) -> None:
    path, places = planned / "plan.npz", np.random.default_rng(0)
    content, arrays = path.read_bytes(), StoredPlan.load(path).arrays
    refused = 0
    for place in places.integers(len(content), size=100):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            loaded = StoredPlan.load(path).arrays
        except UserError:
            refused += 1
        else:  # bytes that nothing reads, such as dates
            assert all(np.array_equal(loaded[name], values) for name, values in arrays.items())
    assert refused > 66


@pytest.mark.parametrize("name", ["timesteps", "model.last", "model.before", "calibrated.errors"])
def test_a_plan_of_other_numbers_than_were_saved(planned: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = planned / "plan.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {name: arrays[name] * 2})
    for stride in ("planned", "uniform"):
        words = ["--steps", "5", "--stride", stride, "--variance", "calibrated"]
        assert main(["nll", str(planned), "--count", "5", *words]) == 2
        assert "it is damaged, or something else" in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_plan(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "plan.npz").mkdir()
    assert main(["nll", str(run), "--count", "5", "--steps", "5"]) == 0
    assert "it is damaged, or something else" in capsys.readouterr().err
    assert main(["plan", str(run), *FEW]) == 2
    assert "plan.npz is a folder, where the plan would be; move it away" in capsys.readouterr().err


def test_a_damaged_plan(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "plan.npz").write_text("hello")
    assert main(["nll", str(run), "--count", "5", "--steps", "5", "--stride", "planned"]) == 2
    assert "it is damaged, or something else" in capsys.readouterr().err
