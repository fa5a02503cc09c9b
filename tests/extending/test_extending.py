"""Each file beside this one adds one member of a kind, and no other file is touched: used from training to scores."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from iddpm import names
from iddpm.cli.main import main
from iddpm.registry import Registry
from tests.cli.test_journeys import TINY_FLAGS
from tests.experiments.small import minuscule

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
MEMBERS = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("test_", "__")))
MOST_LINES = 60
QUICK = ["--training.batch-size", "16", "--training.no-decay", "--device", "cpu", "--training.validate-every", "0"]
QUICK += ["--training.sample-every", "0"]


@pytest.fixture(autouse=True)
def _extended(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Load the extension that a test is named after, as a user would, and take it out again."""
    registries = [value for value in vars(names).values() if isinstance(value, Registry)]
    before = [list(registry) for registry in registries]
    monkeypatch.setenv("IDDPM_EXTENSIONS", str(FOLDER / f"{request.node.name.removeprefix('test_')}.py"))
    yield
    for registry, members in zip(registries, before, strict=True):
        for name in [name for name in registry if name not in members]:
            registry.unregister(name)
    for module in [module for module in sys.modules if module.startswith("iddpm_extension_")]:
        del sys.modules[module]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def journey(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    train: Sequence[str] = (),
    sample: Sequence[str] = (),
    start: str = "digits",
) -> tuple[Path, bytes]:
    """Train, sample and score with some flags: the run, and the samples' bytes."""
    run, out = folder / "run", folder / "samples.npz"
    told(capsys, "train", start, "--run", str(run), *TINY_FLAGS, *train)
    told(capsys, "sample", str(run), "--count", "3", "--steps", "5", "--out", str(out), "--device", "cpu", *sample)
    score = json.loads(told(capsys, "nll", str(run), "--count", "4", "--json", "--device", "cpu"))
    assert 0 < score["total"]["mean"] < 20
    return run, out.read_bytes()


@pytest.mark.parametrize("name", MEMBERS)
def test_members_are_small(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= MOST_LINES


def test_condition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--brightness" in helped(capsys, "sample")
    run, _ = journey(capsys, tmp_path, ["--network.conditions", "brightness"], ["--brightness=-0.9,0.1"])
    from iddpm import load, sample

    model = load(run)
    assert list(model.conditions) == ["brightness"]
    with torch.no_grad():
        model.network.get_submodule("conv_out").weight.normal_(std=0.1)  # it is zero at first, whatever it is told
        model.network.get_submodule("brightness_embedding").weight.mul_(20)
    pale, bright = (sample(model, 1, steps=2, brightness=given) for given in ([-0.9, 0.1], [0.9, 0.1]))
    assert not torch.equal(pale, bright)
    assert main(["sample", str(run), "--brightness", "3", "--out", str(tmp_path / "no.png")]) == 2
    assert "--brightness: needs a mean and a spread, got 3" in capsys.readouterr().err


def test_sampler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "reverse" in helped(capsys, "sample")
    run, ours = journey(capsys, tmp_path, sample=["--sampler", "reverse"])
    told(
        capsys, "sample", str(run), "--count", "3", "--steps", "5", "--out", str(tmp_path / "b.npz"), "--device", "cpu"
    )
    assert ours != (tmp_path / "b.npz").read_bytes()


def test_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "min_snr" in helped(capsys, "train", "digits")
    run, _ = journey(capsys, tmp_path, ["--objective.kind", "min_snr"])
    assert json.loads((run / "config.json").read_text())["objective"]["kind"] == "min_snr"
    words = ["train", "digits", "--run", str(tmp_path / "b"), "--objective.kind", "min_snr"]
    assert main([*words, "--diffusion.variance", "fixed_small"]) == 2
    assert "min_snr teaches a variance" in capsys.readouterr().err


def test_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sigmoid" in helped(capsys, "train", "digits")
    run, _ = journey(capsys, tmp_path, ["--diffusion.schedule", "sigmoid"])
    assert "diffusion.schedule" in told(capsys, "info", str(run))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "count a model's parameters" in told(capsys, "--help")
    assert "MODEL" in helped(capsys, "weigh")
    run, _ = journey(capsys, tmp_path)
    assert int(told(capsys, "weigh", str(run))) > 1000
    assert main(["weigh", str(tmp_path / "nothing")]) == 2


def test_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names.SCALES.register("minuscule", minuscule)
    words = ["learning-rate", "--scale", "minuscule", "--runs", str(tmp_path), "--jobs", "1", "--seeds", "2", "--json"]
    outcome = json.loads(told(capsys, "reproduce", *words))
    assert outcome["findings"][0]["claim"] == "twice the learning rate is better"
    page = Path(outcome["page"])
    assert page == tmp_path / "learning-rate-minuscule.md"
    assert "iddpm reproduce learning-rate --scale minuscule --seeds 2\n" in page.read_text()
    assert "## Compute of one run" in page.read_text()
    assert page.with_suffix(".png").exists()
    assert main(["reproduce", *words]) == 0
    assert "4 runs, 4 of them measured already" in capsys.readouterr().err
    assert "learning-rate: twice the learning rate" in helped(capsys, "reproduce")


def configuration(folder: Path, **data: object) -> str:
    """Write a configuration file that states nothing but the data."""
    path = folder / "start.json"
    path.write_text(json.dumps({"data": data, "network": {"channels": 32, "num_res_blocks": 1}}))
    return str(path)


def test_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = configuration(tmp_path, source="blobs")
    run, _ = journey(capsys, tmp_path, start=start)
    scores = json.loads(told(capsys, "evaluate", "blobs", "--reference", str(run), "--split", "all", "--json"))
    assert scores["scores"]["precision"]["value"] == 1.0  # it is the same data
    assert main(["train", "digits", "--run", str(tmp_path / "no"), "--data.source", "blob"]) == 2
    assert "use digits, photos" in (said := capsys.readouterr().err) and "blobs" in said


def test_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = configuration(tmp_path, source="topics", dimensions=1)
    run, _ = journey(capsys, tmp_path, start=start)
    words = ["sample", str(run), "--count", "4", "--steps", "2", "--device", "cpu"]
    told(capsys, *words, "--out", str(tmp_path / "texts"))
    assert sorted(path.suffix for path in (tmp_path / "texts").iterdir()) == [".txt"] * 4
    told(capsys, *words, "--out", str(tmp_path / "texts.png"))
    with Image.open(tmp_path / "texts.png") as sheet:
        assert sheet.width > 2 * 16 * 7
    from iddpm import DataConfig, open_source

    again = open_source(DataConfig(source=f"folder:{tmp_path / 'texts'}", dimensions=1, validation=0.0)).train
    assert (len(again), again.spec.size, again.spec.kind) == (4, (16,), "texts")


def test_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 20)
    monkeypatch.setattr("iddpm.evaluation.scores.MOST_FOR_ERRORS", 200)
    words = ["evaluate", "digits", "--reference", "digits", "--split", "validation", "--count", "120"]
    results = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for result in results:
        lines = told(capsys, *words, "--out", result).splitlines()
        assert any(line.startswith("Vendi score ") and "larger for samples" in line for line in lines)
    assert "Vendi score" in told(capsys, "compare", *results)
    score = json.loads((tmp_path / "a.json").read_text())["scores"]["vendi"]
    assert 1 < score["value"] < 120
    assert 0 < score["error"] < 1
    from iddpm.names import METRICS

    vendi = sys.modules[METRICS["vendi"].__module__].vendi
    assert vendi(torch.eye(7)) == pytest.approx(7)
    assert vendi(torch.ones(7, 3)) == pytest.approx(1)


def test_checkpoint_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "train", "digits", "--run", str(tmp_path / "run"), "--training.steps", "2", *QUICK)
    from iddpm import load, save
    from iddpm.registry import load_extensions

    load_extensions()
    save(tmp_path / "theirs.safetensors", load(tmp_path / "run"), format="prefixed")
    words = ["--preset", "digits", "--count", "2", "--steps", "2", "--device", "cpu"]
    for name in ("run", "theirs.safetensors"):
        start = words if name != "run" else words[2:]
        told(capsys, "sample", str(tmp_path / name), *start, "--out", str(tmp_path / f"{name}.npz"))
    assert (tmp_path / "run.npz").read_bytes() == (tmp_path / "theirs.safetensors.npz").read_bytes()
    score = json.loads(told(capsys, "nll", str(tmp_path / "theirs.safetensors"), *words, "--json"))
    assert score["total"]["mean"] > 0
