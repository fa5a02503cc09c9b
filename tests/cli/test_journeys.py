"""Whole journeys through the command line, as a user makes them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iddpm.cli.main import main
from iddpm.names import COMMANDS
from tests.training.tiny import tiny

TINY_FLAGS = [
    "--network.channel-multipliers", "1", "1",
    "--diffusion.num-timesteps", "20",
    "--training.steps", "4",
    "--training.batch-size", "16",
    "--training.validate-every", "0",
    "--training.sample-every", "0",
    "--training.no-decay",
    "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", "digits", "--run", str(path), *TINY_FLAGS]) == 0
    return str(path)


@pytest.fixture(scope="module")
def class_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("runs") / "classes"
    assert main(["train", "digits", "--run", str(path), *TINY_FLAGS, "--network.classes"]) == 0
    return str(path)


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_train_says_where_the_run_is_and_then_that_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "digits", "--run", str(tmp_path / "b"), *TINY_FLAGS]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'b'}\n"
    assert "parameters on cpu" in said.err
    assert main(words) == 0
    assert "training is done already, 4 of 4 steps" in capsys.readouterr().err
    before = (tmp_path / "b/config.json").read_text()
    assert main([*words, "--training.learning-rate", "0.5"]) == 0
    said = capsys.readouterr()
    assert "training is done already" in said.err
    assert "from here on" not in said.err
    assert (tmp_path / "b/config.json").read_text() == before


def test_a_run_goes_on_by_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c"
    assert main(["train", "digits", "--run", str(path), *TINY_FLAGS]) == 0
    assert main(["train", str(path), "--training.steps", "6", "--device", "cpu"]) == 0
    assert "from step 4 to step 6" in capsys.readouterr().err
    done = json.loads(output(capsys, "train", str(path), "--device", "cpu", "--json"))
    assert done == {"run": str(path), "validation": None, "step": 6}
    assert (
        main(
            [
                "train",
                "digits",
                "--run",
                str(path),
                *TINY_FLAGS,
                "--training.steps",
                "6",
                "--training.weight-decay",
                "1",
            ]
        )
        == 2
    )
    assert "--training.weight-decay: the run in" in capsys.readouterr().err


def test_a_configuration_file_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.json"
    file.write_text(output(capsys, "info", "--preset", "digits", "--json"))
    words = ["train", str(file), "--run", str(tmp_path / "d"), *TINY_FLAGS]
    assert main(words) == 0
    assert json.loads((tmp_path / "d" / "config.json").read_text())["training"]["steps"] == 4


@pytest.mark.parametrize("sampler", [["ancestral"], ["ddim"], ["ddim", "--eta", "0.5"]])
def test_sample_writes_a_grid(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], sampler: list[str]) -> None:
    out = str(tmp_path / "new" / "grid.png")
    words = ["sample", run, "--count", "5", "--steps", "4", "--sampler", *sampler, "--out", out]
    assert output(capsys, *words) == f"{out}\n"
    with Image.open(out) as image:
        assert image.width > 3 * 48
    first = Path(out).read_bytes()
    output(capsys, *words)
    assert Path(out).read_bytes() == first  # the same seed is the same picture
    output(capsys, *words, "--seed", "1")
    assert Path(out).read_bytes() != first


def test_sample_says_how_it_drew(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "grid.png")
    told = json.loads(output(capsys, "sample", run, "--count", "2", "--steps", "3", "--out", out, "--json"))
    assert (told["steps"], len(told["timesteps"]), told["sampler"], told["clip"]) == (3, 3, "ancestral", True)
    assert told["timesteps"][0] == 0


def test_sample_writes_an_npz_that_does_not_depend_on_the_batch(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = []
    for batch_size, count in (("7", "9"), ("2", "9"), ("64", "5")):
        out = str(tmp_path / f"{batch_size}.npz")
        output(capsys, "sample", run, "--count", count, "--steps", "4", "--batch-size", batch_size, "--out", out)
        with np.load(out) as archive:
            assert archive.files == ["arr_0"]
            arrays.append(archive["arr_0"])
    assert arrays[0].shape == (9, 8, 8, 1)
    assert arrays[0].dtype == np.uint8
    assert arrays[0].max() <= 16
    assert np.array_equal(arrays[0], arrays[1])
    assert np.array_equal(arrays[0][:5], arrays[2])


def test_samples_of_a_class_can_be_trained_on_again(
    class_run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "threes")
    output(capsys, "sample", class_run, "--class", "3", "--count", "3", "--steps", "2", "--out", folder)
    names = sorted(path.name for path in Path(folder).iterdir())
    assert names == [f"3_{i:06d}.png" for i in range(3)]
    output(capsys, "sample", class_run, "--count", "12", "--steps", "2", "--out", str(tmp_path / "all.npz"))
    with np.load(tmp_path / "all.npz") as archive:
        assert archive["arr_1"].tolist() == [*range(10), 0, 1]
    output(capsys, "sample", class_run, "--count", "12", "--steps", "2", "--out", str(tmp_path / "all"))
    words = ["train", "digits", "--data.source", f"folder:{tmp_path / 'all'}", "--data.levels", "None"]
    again = [*words, "--run", str(tmp_path / "again"), *TINY_FLAGS, "--training.batch-size", "4", "--network.classes"]
    assert main(again) == 0


@pytest.mark.slow
def test_nll_adds_up(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    score = json.loads(output(capsys, "nll", run, "--count", "20", "--json"))
    parts = sum(score[part]["mean"] for part in ("prior", "kl", "decoder"))
    assert score["total"]["mean"] == pytest.approx(parts)
    assert score["prior"]["mean"] + sum(score["terms"]) == pytest.approx(parts)
    assert len(score["terms"]) == len(score["timesteps"]) == score["steps"] == 20
    assert len(score["items"]) == score["count"] == 20
    other = json.loads(output(capsys, "nll", run, "--count", "20", "--batch-size", "7", "--json"))
    assert other["items"] == pytest.approx(score["items"], rel=1e-4)  # no item depends on its batch
    respaced = json.loads(output(capsys, "nll", run, "--count", "20", "--steps", "5", "--no-clip", "--json"))
    assert len(respaced["terms"]) == 5
    words = output(capsys, "nll", run, "--count", "20", "--split", "train")
    assert words.startswith("bits/dim  ")
    assert "digits (train) in 17 levels, all 20 steps, ema 0.998 weights" in words


def test_nll_of_other_data(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).integers(0, 17, (7, 8, 8), dtype=np.uint8))
    score = json.loads(output(capsys, "nll", run, "--data", f"npy:{tmp_path}/mine.npy", "--json"))
    assert score["count"] == 7


def test_info_of_presets_runs_and_files(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "52,546,438" in output(capsys, "info", "--preset", "cifar10")
    assert json.loads(output(capsys, "info", "--preset", "cifar10", "--json"))["parameters"] == 52_546_438
    of_run = output(capsys, "info", run)
    assert "step-00000004" in of_run
    assert "network.channel_multipliers" in of_run
    file = f"{run}/checkpoints/step-00000004/model.safetensors"
    assert json.loads(output(capsys, "info", file, "--json"))["weights"] == "raw"


@pytest.mark.slow
def test_report_is_one_page_with_everything_in_it(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", run, "--samples", "8", "--judged", "100", "--items", "10", "--strides", "5", "--device", "cpu"]
    said = output(capsys, *words)
    assert re.search(r"FD +[\d.]+ \+- [\d.]+ \(held-out items [\d.]+ \+- [\d.]+\)", said)
    assert "authenticity" in said
    assert "bits/dim in   20 steps" in said
    assert "causal contexts" in said
    page = (Path(run) / "report.html").read_text()
    assert "How good the samples are" in page
    assert "<td>100 samples</td>" in page
    assert "<td>100 held-out items: what real data gets</td>" in page
    assert page.count("data:image/png;base64,") >= 2
    assert page.count("<svg") >= 3
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    assert "src=" not in page.replace('src="data:', "")
    assert main(words) == 0
    assert "measured already" in capsys.readouterr().err


def test_upsampling_what_a_folder_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "up")
    assert main(["train", "digits", "--run", run, *TINY_FLAGS, "--network.low-resolution", "4"]) == 0
    np.save(tmp_path / "low.npy", np.zeros((3, 4, 4), dtype=np.uint8))
    out = str(tmp_path / "a.npz")
    source = f"npy:{tmp_path}/low.npy"
    output(capsys, "sample", run, "--low-resolution", source, "--count", "3", "--steps", "2", "--out", out)
    assert main(["sample", run, "--count", "3", "--out", out]) == 2
    assert "--low-resolution: an upsampler needs the images" in capsys.readouterr().err
    assert main(["nll", run, "--count", "3"]) == 0


BAD = {
    "no such command": (["paint"], '"paint" is no command'),
    "no preset": (["train"], "name a preset"),
    "unknown preset": (["train", "nope"], '"nope" is no preset'),
    "unknown field": (["train", "digits", "--training.stepz", "3"], "--training.stepz"),
    "not a number": (["train", "digits", "--training.steps", "x"], "--training.steps: needs a whole number, got 'x'"),
    "no such stride": (
        ["sample", "RUN", "--stride", "cubic"],
        '--stride: "cubic" is not known; use one of ddim, planned, quadratic, uniform; see',
    ),
    "no numbers": (["steps", "RUN", "--steps", "a"], "--steps: needs whole numbers, got 'a'"),
    "out of range": (["train", "digits", "--training.steps", "0"], "--training.steps: should be greater"),
    "no such choice": (["train", "digits", "--objective.kind", "best"], "--objective.kind"),
    "two that disagree": (["train", "digits", "--diffusion.variance", "fixed_small"], "objective.kind: hybrid"),
    "simple with learned": (["train", "digits", "--objective.kind", "simple"], "objective.kind: simple"),
    "attention": (["train", "digits", "--network.attention-resolutions", "3"], "3 is not the width"),
    "batch": (["train", "digits", "--training.batch-size", "5000"], "more than the 1497 training items"),
    "size": (["train", "digits", "--network.channel-multipliers", *"11111"], "multiple of 16"),
    "source": (["train", "digits", "--data.source", "folder:nowhere"], "nowhere does not exist"),
    "no directory": (["train", "digits", "--run", ""], "--run: is empty"),
    "a switch's value": (["train", "digits", "--network.classes", "2"], "--network.classes: takes no value, got 2"),
    "short chain": (["train", "digits", "--diffusion.num-timesteps", "9"], "training.validate.steps: 25 is more"),
    "classes": (["train", "photos", "--network.classes"], "has no labels"),
    "stride of the loop": (["train", "digits", "--training.validate-steps", "101"], "training.validate.steps: 101"),
    "device": (["train", "digits", "--device", "gpu"], 'device: "gpu"'),
    "configuration": (["train", "missing.json"], "there is no such file"),
    "no run": (["sample", "runs/nothing"], "no such run"),
    "nothing to sample": (["sample"], "missing: MODEL"),
    "unknown flag": (["sample", "RUN", "--cuont", "3"], "--cuont"),
    "steps above T": (["sample", "RUN", "--steps", "21"], r"--steps: must be 1 ... 20, .* got 21"),
    "no stride": (["sample", "RUN", "--steps", "ddim19x"], "is no stride"),
    "eta": (["sample", "RUN", "--eta", "0.5"], "--eta: the sampler .* has no|--eta: "),
    "large eta": (["sample", "RUN", "--sampler", "ddim", "--eta", "2"], "eta: must be 0 .no noise. to 1 .*, got 2"),
    "no classes": (["sample", "RUN", "--class", "3"], "--class: .* was trained without it; leave it out"),
    "count": (["sample", "RUN", "--count", "0"], "--count"),
    "ending": (["sample", "RUN", "--out", "a.gif"], '".gif" is not written'),
    "place": (["sample", "RUN", "--out", "/proc/no/a.png"], "--out: /proc/no/a.png cannot be written"),
    "place of a folder": (
        ["sample", "RUN", "--out", "/proc/no/a"],
        "--out: /proc/no/a cannot be written .*; name another",
    ),
    "no number": (["nll", "RUN", "--error", "abc"], "--error: needs a number, got 'abc'"),
    "weights": (["sample", "RUN", "--weights", "0.5"], "use raw or one of"),
    "nll steps": (["nll", "RUN", "--steps", "500"], r"--steps: must be 1 \.\.\. 20, .* got 500"),
    "nll count": (["nll", "RUN", "--count", "100000"], "must be 1 ... 300, the items to score"),
    "a part of other data": (["nll", "RUN", "--data", "photos", "--split", "train"], "--split: train is a part of the"),
    "nll data": (
        ["nll", "RUN", "--data", "photos"],
        "--data: items are 3x8x8 in 256 levels, and the model was made for 1x8x8 in 17",
    ),
    "info of nothing": (["info"], "name a model, or a preset"),
    "info of an unknown preset": (["info", "--preset", "nope"], '"nope" is not known'),
    "report of nothing": (["report", "runs/nothing"], "no config.json"),
    "few to judge": (["report", "RUN", "--judged", "50"], "judged: scores need at least 100 images, got 50"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_exit_code_2(
    run: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main([run if word == "RUN" else word for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("iddpm: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert "Traceback" not in said.err
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]  # nothing half-written


def test_an_interrupted_sampling_leaves_nothing(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import iddpm.cli.outputs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for out in ("a.npz", "a.png", "folder"):
        monkeypatch.setattr(iddpm.cli.outputs, "quantize", interrupt)
        assert main(["sample", run, "--count", "2", "--steps", "2", "--out", str(tmp_path / out)]) == 130
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_imports(
    number: signal.Signals,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [
        "import signal, time",
        "from iddpm.names import COMMANDS",
        f"signal.raise_signal({int(number)})",
        "def run(words):",
        "    time.sleep(60)",
        "COMMANDS.register('slow', run, 'wait')",
    ]
    (tmp_path / "slow_to_load.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("IDDPM_EXTENSIONS", "slow_to_load")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in a background job
    try:
        assert main(["slow"]) == code
        assert "slow" in COMMANDS
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.modules.pop("slow_to_load", None)
        COMMANDS.unregister("slow")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_terminated_sampling_leaves_nothing(run: str, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    command = [sys.executable, "-m", "iddpm", "sample", run, "--count", "1000000", "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.npz.*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.stderr is not None
        assert "terminated" in process.stderr.read()
    assert process.returncode == 143
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


def test_places_that_cannot_be_written_to_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["train", "digits", "--run", str(tmp_path / "file" / "x"), *TINY_FLAGS]) == 2
    np.savez(tmp_path / "a.npz", images=np.zeros((30, 8, 8), dtype=np.uint8))
    monkeypatch.setenv("IDDPM_CACHE", str(tmp_path / "file"))
    source = ["--data.source", f"npz:{tmp_path}/a.npz", "--data.num-classes", "None"]
    assert main(["train", "digits", *source, "--run", str(tmp_path / "b"), *TINY_FLAGS]) == 2
    said = capsys.readouterr().err
    assert said.count("Not a directory") + said.count("File exists") == 2


def test_classes_are_the_same_where_their_names_are(
    class_run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), dtype=np.uint8), labels=np.array([3, 11]))
    assert main(["nll", class_run, "--data", f"npz:{tmp_path}/a.npz", "--count", "2"]) == 2
    assert "others than the model's (10, 11)" in capsys.readouterr().err


def test_existing_things_are_not_overwritten_by_a_folder(run: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    words = ["sample", run, "--count", "2", "--steps", "2", "--out"]
    assert main([*words, str(tmp_path / "full")]) == 2
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    (tmp_path / "x.png").mkdir()
    assert main([*words, str(tmp_path / "x.png")]) == 2


def test_help_is_quick_because_torch_is_not_loaded() -> None:
    for words in (["--help"], ["train", "--help"], ["sample", "--help"], ["--version"]):
        code = (
            "import sys\nfrom iddpm.cli.main import main\n"
            f"try:\n    main({words!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'heavy modules are loaded'\n"
        )
        finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr


def test_every_field_is_a_flag_with_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["train", "digits", "--help"])
    text = capsys.readouterr().out
    for section, fields in tiny().model_dump().items():
        for field in fields:
            assert f"--{section}.{field.replace('_', '-')}" in text
    from iddpm import config

    for kind in (config.DataConfig, config.DiffusionConfig, config.ObjectiveConfig, config.NetworkConfig):
        assert all(known.description for known in kind.model_fields.values())
