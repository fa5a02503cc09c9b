"""Judging samples on the command line, as a user does it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iddpm.cli.main import main
from iddpm.data import open_source
from iddpm.presets import preset
from tests.cli.test_journeys import TINY_FLAGS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a reference with its classifier, and some samples in a folder and an npz."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDDPM_CACHE", str(folder / "cache"))
        patch.setattr("iddpm.evaluation.classifier.STEPS", 60)
        assert main(["train", "digits", "--run", str(folder / "run"), *TINY_FLAGS]) == 0
        assert main(["reference", "digits", "--out", str(folder / "reference.npz")]) == 0
        assert main(["reference", "digits", "--moments-only", "--out", str(folder / "small.npz")]) == 0
    (folder / "pictures").mkdir()
    held_out = open_source(preset("digits").data).validation
    assert held_out is not None
    items = held_out.items(np.arange(120))
    np.savez(folder / "samples.npz", arr_0=np.moveaxis(items, 1, -1))
    for number, item in enumerate((items * (255 / 16)).round().astype(np.uint8)):
        Image.fromarray(item[0]).save(folder / "pictures" / f"{number:03d}.png")
    return folder


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let error bars and p-values be coarse."""
    monkeypatch.setattr("iddpm.evaluation.scores.MOST_FOR_ERRORS", 300)
    monkeypatch.setattr("iddpm.evaluation.scores.PERMUTATIONS", 99)


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_run_is_sampled_and_judged(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "a.json"
    words = [place / "run", "--reference", place / "reference.npz", "--count", "110", "--steps", "5"]
    result = evaluate(capsys, *words, "--out", kept)
    assert json.loads(kept.read_text()) == result
    images = result["samples"]["images"]
    expected = {"count": 110, "seed": 0, "steps": 5, "sampler": "ancestral", "weights": "ema 0.998", "training step": 4}
    assert {name: images[name] for name in expected} == expected
    assert result["reference"]["images"]["split"] == "train"
    assert result["samples"]["features"] == result["reference"]["features"]
    assert set(result["samples"]["versions"]) == {"iddpm", "torch", "python"}
    assert evaluate(capsys, *words) == result  # nothing is left to chance
    assert evaluate(capsys, *words, "--batch-size", "50")["samples"]["images"]["content"] == images["content"]
    assert evaluate(capsys, *words, "--seed", "1")["samples"]["images"]["content"] != images["content"]


def test_the_same_pictures_in_a_folder_a_zip_and_an_npz(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.make_archive(str(tmp_path / "pictures"), "zip", place / "pictures")
    found = [
        evaluate(capsys, source, "--reference", place / "reference.npz")
        for source in (place / "pictures", tmp_path / "pictures.zip", place / "samples.npz", f"npz:{place}/samples.npz")
    ]
    assert all(result["scores"] == found[0]["scores"] for result in found)
    assert all(result["samples"]["images"]["content"] == found[0]["samples"]["images"]["content"] for result in found)
    assert found[0]["p_same"] > 0.01
    assert main(["evaluate", str(place / "pictures"), "--reference", str(place / "reference.npz")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^FD  +[\d.]+ \+- [\d.]+  +0 is best", said, re.MULTILINE)
    assert "120 images of folder:" in said
    assert "against 1497 images of digits (train)" in said


def test_statistics_in_place_of_images(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = evaluate(capsys, place / "pictures", "--reference", place / "small.npz")
    assert set(small["scores"]) == {"frechet", "frechet_infinite", "inception"}
    both = evaluate(capsys, place / "reference.npz", "--reference", place / "reference.npz")
    assert both["scores"]["frechet"]["value"] == pytest.approx(0, abs=1e-6)
    assert (both["scores"]["precision"]["value"], both["scores"]["recall"]["value"]) == (1, 1)
    data = evaluate(capsys, place / "reference.npz", "--reference", "digits", "--split", "validation")
    assert data["reference"]["images"]["count"] == 300


def test_a_run_against_its_own_data(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iddpm.evaluation.classifier.STEPS", 20)
    result = evaluate(capsys, place / "run", "--count", "100", "--steps", "2", "--split", "all")
    assert result["reference"]["images"]["source"] == "digits"
    assert (result["reference"]["images"]["split"], result["reference"]["images"]["count"]) == ("all", 1797)
    assert result["samples"]["features"]["name"] == "classifier"


def test_results_side_by_side(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", "0"), ("b", "1")):
        words = [place / "run", "--reference", place / "reference.npz", "--count", "110", "--steps", "3"]
        evaluate(capsys, *words, "--seed", seed, "--out", tmp_path / f"{name}.json")
    evaluate(capsys, place / "pictures", "--reference", place / "reference.npz", "--out", tmp_path / "c.json")
    evaluate(capsys, place / "samples.npz", "--reference", place / "small.npz", "--out", tmp_path / "d.json")
    files = {name: str(tmp_path / f"{name}.json") for name in "abcd"}
    picture = tmp_path / "table.png"
    assert main(["compare", files["a"], files["b"], "--out", str(picture)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["a", "b"]
    assert table[1].startswith("FD ")
    assert table[1].count("+-") == 2
    with Image.open(picture) as image:
        assert image.width > 1000
    assert main(["compare", files["a"], files["b"], "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"a", "b"}
    assert main(["compare", files["a"], files["c"]]) == 2
    assert "the number of samples, on which distances depend, differs (110, 120)" in capsys.readouterr().err
    changed = json.loads(Path(files["a"]).read_text())
    changed["reference"]["images"]["content"] = "other"
    Path(files["d"]).write_text(json.dumps(changed))
    assert main(["compare", files["a"], files["d"]]) == 2
    assert "the reference's images differ" in capsys.readouterr().err
    changed = json.loads(Path(files["a"]).read_text())
    changed["reference"]["features"]["name"] = "inception"
    Path(files["d"]).write_text(json.dumps(changed))
    assert main(["compare", files["a"], files["d"]]) == 2
    assert "the features differ (classifier, inception); evaluate both alike" in capsys.readouterr().err


BAD = {
    "few samples": (["evaluate", "RUN", "--count", "20"], "--count: scores need at least 100 images, got 20"),
    "few pictures": (
        ["evaluate", "FEW", "--reference", "REFERENCE"],
        "scores need at least 100 images, got 3",
    ),
    "few to store": (["reference", "FEW"], "DATA: scores need at least 100 images, got 3"),
    "more than there are": (
        ["evaluate", "PICTURES", "--reference", "REFERENCE", "--count", "500"],
        "--count: must be 1 ... 120, the images of folder:.*pictures, got 500",
    ),
    "no reference": (["evaluate", "PICTURES"], "--reference: is needed for samples that are no run"),
    "no such samples, and no reference": (["evaluate", "nowhere"], "SAMPLES: nowhere does not exist"),
    "split of a file": (
        ["evaluate", "PICTURES", "--reference", "REFERENCE", "--split", "train"],
        "--split: .*reference.npz is what iddpm reference has made of one part; leave it out",
    ),
    "steps of pictures": (
        ["evaluate", "PICTURES", "--reference", "REFERENCE", "--steps", "10"],
        "--steps: .*pictures is no model to draw from; leave it out",
    ),
    "no number": (["evaluate", "RUN", "--count", "abc"], "--count: needs a whole number, got 'abc'"),
    "negative eta": (["evaluate", "RUN", "--sampler", "ddim", "--eta", "-1"], "--eta: must be 0"),
    "few pictures of data without classes": (["evaluate", "FEW", "--reference", "LARGE"], "got 3; give more"),
    "no such samples": (["evaluate", "nowhere", "--reference", "REFERENCE"], "SAMPLES: nowhere does not exist"),
    "no such reference": (["evaluate", "PICTURES", "--reference", "nowhere"], "--reference: nowhere does not exist"),
    "another size": (
        ["evaluate", "LARGE", "--reference", "REFERENCE"],
        "its images are 8x8x1 .*, and the samples 9x9x1; both must be the same: --size and --channels convert pictures",
    ),
    "colours": (["evaluate", "COLOUR", "--reference", "REFERENCE"], "its images are 8x8x1 .*, and the samples 8x8x3"),
    "constant": (["evaluate", "CONSTANT", "--reference", "REFERENCE"], "SAMPLES: all 100 images look the same"),
    "numbers with NaNs": (["evaluate", "FLOATS", "--reference", "REFERENCE"], "holds float64; quantize it"),
    "other features": (
        ["evaluate", "PICTURES", "--reference", "REFERENCE", "--features", "inception"],
        "--features: the reference was made with classifier, not inception",
    ),
    "another's statistics": (["evaluate", "RUN", "--reference", "THEIRS"], "does not say which features it holds"),
    "damaged statistics": (
        ["evaluate", "RUN", "--reference", "DAMAGED"],
        "(--reference|data.source): .*damaged.npz is no array file, or it is damaged",
    ),
    "no classes": (["reference", "photos", "--features", "classifier"], "needs data with classes, and photos has none"),
    "weights of a classifier": (
        ["reference", "digits", "--features", "classifier", "--feature-weights", "a.pth"],
        "--feature-weights: the classifier is trained on the data",
    ),
    "no extra": (["reference", "digits", "--features", "inception"], r"pip install 'iddpm\[evaluation\]'"),
    "a reference's name": (["reference", "digits", "--out", "a.txt"], "--out: a.txt must be called NAME.npz"),
    "a place that is a folder": (["reference", "digits", "--out", "PLACE/a.npz"], "--out: .* cannot be written"),
    "a place below a file": (["evaluate", "RUN", "--out", "SAMPLES/a.json"], "--out: .* cannot be written"),
    "a result's name": (["evaluate", "RUN", "--out", "a.txt"], "--out: a.txt must be called NAME.json"),
    "steps": (["evaluate", "RUN", "--reference", "REFERENCE", "--steps", "21"], r"--steps: must be 1 \.\.\. 20"),
    "batch": (["evaluate", "RUN", "--batch-size", "0"], "--batch-size: must be at least 1"),
    "one result": (["compare", "a.json"], "two or more are needed to compare"),
    "no result": (["compare", "a.json", "b.json"], "a.json: does not exist; make one with"),
    "another file": (["compare", "REFERENCE", "REFERENCE"], "is no result of iddpm evaluate"),
    "a picture's name": (["compare", "a.json", "b.json", "--out", "a.pdf"], "--out: a.pdf must be called NAME.png"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line_and_exit_code_2(
    place: Path, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    np.savez(inputs / "few.npz", np.zeros((3, 8, 8), dtype=np.uint8))
    np.savez(inputs / "large.npz", np.arange(8100, dtype=np.uint8).reshape(100, 9, 9) % 17)
    np.savez(inputs / "colour.npz", np.arange(19200).astype(np.uint8).reshape(100, 8, 8, 3) % 17)
    np.savez(inputs / "constant.npz", np.zeros((100, 8, 8), dtype=np.uint8))
    np.savez(inputs / "floats.npz", np.full((100, 8, 8), np.nan))
    np.savez(inputs / "theirs.npz", mu=np.zeros(3), sigma=np.eye(3))
    (inputs / "damaged.npz").write_bytes((place / "reference.npz").read_bytes()[:-100])
    known = {path.stem.upper(): str(path) for path in [*inputs.iterdir(), *place.iterdir()]}
    (tmp_path / "a.npz").mkdir()
    known |= {"PLACE/a.npz": str(tmp_path / "a.npz"), "SAMPLES/a.json": str(place / "samples.npz" / "a.json")}
    words, message = BAD[name]
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity", None)
    capsys.readouterr()
    assert main([known.get(word, word) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("iddpm: ")]
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
    assert "Traceback" not in said.err
    assert not list(work.iterdir())
