"""`iddpm reproduce`: experiments from the command line, the paper's and others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iddpm.cli.arguments import parse
from iddpm.cli.commands import reproduce as flags
from iddpm.cli.commands.train import TrainArguments, start_of
from iddpm.cli.main import main
from iddpm.cli.train_words import changed_flags
from iddpm.cli.work import reproduce
from iddpm.config import Config, DataConfig
from iddpm.experiments.data import fingerprint, opened
from iddpm.experiments.paper import bound_by_step
from iddpm.experiments.scales import scale_of, varied
from iddpm.names import EXPERIMENTS, SCALES
from iddpm.registry import Registry, Row

from .small import minuscule

pytestmark = pytest.mark.slow


@pytest.fixture
def small() -> Iterator[None]:
    SCALES.register("minuscule", minuscule)
    yield
    SCALES.unregister("minuscule")


def test_helpers_work_and_conclude_nothing(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another process with --jobs starts does the work, and leaves the page to it."""
    commands: list[list[str]] = []
    environment: dict[str, str] = {}

    class Helper:
        def __init__(self, words: list[str], env: dict[str, str], stdout: int, stderr: int) -> None:
            commands.append(words)
            environment.update(env)
            monkeypatch.setenv(reproduce.WORKER, env[reproduce.WORKER])
            assert main(words[3:]) == 0
            monkeypatch.delenv(reproduce.WORKER)
            assert capsys.readouterr().out == ""

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(bound_by_step, "ITEMS", 4)
    monkeypatch.setattr("subprocess.Popen", Helper)
    place = ["--runs", str(tmp_path), "--scale", "minuscule"]
    words = ["reproduce", "bound-by-step", "--seeds", "1", "--jobs", "2", *place]
    threads = torch.get_num_threads()
    assert main(words) == 0
    torch.set_num_threads(threads)
    assert commands == [[sys.executable, "-m", "iddpm", *words]]
    assert environment[reproduce.WORKER] == "bound-by-step"
    said = capsys.readouterr()
    assert "holds" in said.out
    assert said.out.splitlines()[-1] == str(tmp_path / "bound-by-step-minuscule.md")


def test_a_page_names_the_command_that_makes_it() -> None:
    asked = flags.ReproduceArguments(
        name="all", seeds=2, data="zip:a b.zip", size=16, samples=("x", "y"), jobs=1, runs="r", out="o", json=True
    )
    command = "iddpm reproduce scaling --seeds 2 --data 'zip:a b.zip' --size 16"
    assert reproduce._command(asked, "scaling") == command
    assert reproduce._command(asked, "coverage") == f"{command} --samples x y".replace("scaling", "coverage")
    assert reproduce._command(flags.ReproduceArguments(name="scaling"), "scaling") == "iddpm reproduce scaling"


def test_commands_for_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run once, whichever experiments share it; nothing is written."""
    paper = "iddpm.experiments.paper"
    rows = {"ablation": Row("", f"{paper}.ablation:Ablation"), "schedules": Row("", f"{paper}.schedules:Schedules")}
    for module in (flags, reproduce):
        monkeypatch.setattr(module, "EXPERIMENTS", Registry("experiment", "name", rows))
    runs = tmp_path / "runs"
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "ablation", "--runs", "/proc/no/such", "--print-commands", "--seeds", "1"]) == 0
    assert "iddpm train cifar10 --run /proc/no/such/" in capsys.readouterr().out
    lines = {}
    for name in ("ablation", "schedules", "all"):
        assert main(["reproduce", name, "--runs", str(runs), "--print-commands", "--seeds", "1"]) == 0
        lines[name] = capsys.readouterr().out.splitlines()
        assert len(set(lines[name])) == len(lines[name])
    assert (len(lines["ablation"]), len(lines["schedules"]), len(lines["all"])) == (12, 2, 12)
    assert set(lines["all"]) == {*lines["ablation"], *lines["schedules"]}
    assert all(line.startswith(f"iddpm train cifar10 --run {runs}/") for line in lines["all"])
    assert not runs.exists()


@pytest.mark.parametrize("name", list(SCALES))
def test_a_printed_command_makes_the_very_run(name: str) -> None:
    scale = scale_of(name)
    for config in [
        *(varied(scale.base, schedule="linear", objective=o, seed=3) for o in ("L_simple", "L_vlb")),
        scale.classes,
    ]:
        start = "digits" if config.data.source == "digits" else "cifar10"
        default, where, _ = start_of(start)
        values = {field: getattr(default, field) for field in Config.model_fields}
        arguments = TrainArguments(**values, run=where)
        words = changed_flags(config, start)
        parsed = parse(TrainArguments, words, command="train", description="", default=arguments)
        assert Config(**{field: getattr(parsed, field) for field in Config.model_fields}) == config


MISTAKES = [
    (["nothing"], 'NAME: "nothing" is no experiment'),
    (["ablation", "--seeds", "0"], "--seeds: must be at least 1"),
    (["ablation", "--jobs", "0"], "--jobs: must be at least 1"),
    (["ablation", "--size", "8"], "--size: is for --data"),
    (["ablation", "--channels", "3"], "--channels: is for --data"),
    (["ablation", "--json", "--print-commands"], "--json: is for findings"),
    (
        ["ablation", "--data", "folder:colours"],
        "--channels: folder:colours mixes items of 1 (0.png) and 3 (1.png); use",
    ),
    (["ablation", "--data", "nowhere"], '--data: "nowhere" is not known'),
    (["ablation", "--samples", "small"], "--samples: is for coverage, not for ablation"),
    (["coverage", "--samples", "nowhere"], "--samples: nowhere does not exist"),
    (["ablation", "--scale", "huge"], "--scale"),
    (["ablation", "--out", "/proc/no/such"], "--out: /proc/no/such cannot be written"),
    (["ablation", "--runs", "/proc/no/such"], "--runs: /proc/no/such cannot be written"),
    (["ablation", "--data", "photos", "--size", "15"], "--size: 15x15 cannot be halved"),
    (["ablation", "--scale", "small"], "--data: data/cifar10 does not exist"),
    (["ablation", "--data", "folder:small", "--size", "16"], "set --size to a size that these have"),
    (["ablation", "--data", "folder:small", "--size", "7"], "--size: 7x7 cannot be halved"),
    (["coverage", "--samples", "mixed"], "--samples: items of mixed differ in size (8x8, 9x9, ...); give"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for place, sides in {"small": (8, 8), "mixed": (8, 9)}.items():
        Path(place).mkdir()
        for name, side in enumerate(sides):
            Image.new("L", (side, side)).save(f"{place}/{name}.png")
    Path("colours").mkdir()
    for name, mode in enumerate(("L", "RGB")):
        Image.new(mode, (8, 8)).save(f"colours/{name}.png")
    assert main(["reproduce", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "----" not in error
    assert "--network" not in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_features_that_cannot_be_had_are_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    Path("plain").mkdir()
    for name in range(8):
        Image.new("L", (16, 16), name).save(f"plain/{name}.png")
    assert main(["reproduce", "ablation", "--data", "folder:plain"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'iddpm[evaluation]', or give data with classes, e.g. a folder's sub-folders" in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_data_that_has_changed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "schedules", "--seeds", "1", "--data", f"npz:{tmp_path}/x.npz", "--runs", f"{tmp_path}/runs"]

    def save(value: int) -> None:
        opened.cache_clear()
        fingerprint.cache_clear()
        np.savez(tmp_path / "x.npz", images=np.full((96, 8, 8, 3), value, np.uint8))

    save(1)
    scale = scale_of("tiny", DataConfig(source=f"npz:{tmp_path}/x.npz"))
    run = EXPERIMENTS["schedules"]().cells(scale, 1)[0].subject
    next(run.make(tmp_path / "runs" / run.key))
    save(2)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "--data: is no longer what the run in" in error
    assert "another directory with --runs" in error
    assert error.count("\n") == 1
