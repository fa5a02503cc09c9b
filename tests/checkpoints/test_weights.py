from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file as read_safetensors
from safetensors.torch import save_file
from torch import nn

from iddpm.checkpoints.formats import CheckpointFormat, openai
from iddpm.checkpoints.loading import load, save
from iddpm.checkpoints.run import RunDirectory
from iddpm.cli.main import main
from iddpm.data import open_source
from iddpm.errors import UserError
from iddpm.model import Model
from iddpm.names import FORMATS
from iddpm.presets import PRESETS, Preset
from iddpm.sampling import sample
from iddpm.training import train
from tests.training.tiny import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "a"
    config = tiny(training={"ema_rates": (0.9, 0.99), "learning_rate": 0.05})
    train(config, open_source(config.data), path)
    return path


def test_a_run_a_checkpoint_and_a_file_describe_themselves(run: Path) -> None:
    whole = load(run)
    assert (whole.weights, whole.step) == ("ema 0.9", 4)
    folder = run / "checkpoints" / "step-00000004"
    for path in (folder, folder / "ema-0.9.safetensors"):
        other = load(path)
        assert torch.equal(sample(whole, 2, steps=2), sample(other, 2, steps=2))
    assert load(run, weights="raw").weights == "raw"
    assert load(run, weights="0.99").weights == "ema 0.99"
    different = sample(load(run, weights="raw"), 2, steps=2) - sample(whole, 2, steps=2)
    assert different.abs().max() > 0


def test_unknown_weights_are_refused(run: Path) -> None:
    with pytest.raises(UserError, match=r"0.5 is not in .*; use raw or one of 0.9, 0.99"):
        load(run, weights="0.5")
    with pytest.raises(UserError, match="name the run's directory"):
        load(run / "checkpoints" / "step-00000004" / "model.safetensors", weights="raw")


def copied(run: Path, to: Path) -> Path:
    to.write_bytes((run / "checkpoints" / "step-00000004" / "model.safetensors").read_bytes())
    return to


def test_truncated_files_are_refused(run: Path, tmp_path: Path) -> None:
    file = copied(run, tmp_path / "a.safetensors")
    data = file.read_bytes()
    for length in (0, 4, 500, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"a.safetensors: .*cut short or damaged"):
            load(file)


def rewritten(file: Path, change: dict[str, object]) -> Path:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["iddpm"])
    save_file(read_safetensors(file), file, {"iddpm": json.dumps({**header, **change})})
    return file


def test_other_versions_and_other_networks_are_refused(run: Path, tmp_path: Path) -> None:
    file = rewritten(copied(run, tmp_path / "a.safetensors"), {"format": 99})
    with pytest.raises(UserError, match="format version 99"):
        load(file)
    config = tiny(network={"num_res_blocks": 2}).to_json()
    with pytest.raises(UserError, match="do not belong together"):
        load(rewritten(copied(run, tmp_path / "b.safetensors"), {"config": config}))
    save_file({"a": torch.zeros(1)}, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match="say what it is with config"):
        load(tmp_path / "c.safetensors")


def test_the_authors_files_load_and_other_pickles_do_not(run: Path, tmp_path: Path) -> None:
    config = tiny()
    model = load(run)
    torch.save(openai.OpenAI().to_theirs(model.network.state_dict()), tmp_path / "theirs.pt")
    theirs = load(tmp_path / "theirs.pt", config=config)
    assert torch.equal(sample(theirs, 2, steps=2), sample(model, 2, steps=2))
    with pytest.raises(UserError, match="say what it is with config"):
        load(tmp_path / "theirs.pt")

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "sprung"),))

    torch.save({"a": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"a": Trap()}))
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "nested.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "theirs.pt").read_bytes()[:1000])
    (tmp_path / "text.pt").write_text("hello")
    for name in ("trap", "plain", "nested", "cut", "text"):
        with pytest.raises(UserError, match="not loaded"):
            load(tmp_path / f"{name}.pt", config=config)
    assert not (tmp_path / "sprung").exists()


class Shouting(CheckpointFormat):
    """Our names in capitals."""

    def recognises(self, names: Collection[str]) -> bool:
        return all(name.isupper() for name in names)

    def to_ours(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name.lower(): tensor for name, tensor in state.items()}

    def to_theirs(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name.upper(): tensor for name, tensor in state.items()}


def test_a_format_from_outside(run: Path, tmp_path: Path) -> None:
    model, file = load(run), tmp_path / "loud.safetensors"
    FORMATS.register("shouting", Shouting)
    try:
        save(file, model, format="shouting")
        assert torch.equal(sample(load(file, config=tiny()), 2, steps=2), sample(model, 2, steps=2))
        PRESETS["loud"] = Preset("ours", tiny())
        words = ["sample", str(file), "--preset", "loud", "--count", "2", "--steps", "2", "--device", "cpu"]
        assert main([*words, "--out", str(tmp_path / "a.png")]) == 0
    finally:
        FORMATS.unregister("shouting")
        PRESETS.pop("loud", None)
    with pytest.raises(UserError, match=r"are in no known format \(native, openai\)"):
        load(file, config=tiny())


def test_every_format_goes_there_and_back(run: Path) -> None:
    state = load(run).network.state_dict()
    for name in FORMATS:
        theirs = FORMATS[name]().to_theirs(state)
        assert [other for other in FORMATS if FORMATS[other]().recognises(theirs.keys())] == [name]
        ours = FORMATS[name]().to_ours(theirs)
        assert ours.keys() == state.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in state.items())


def test_a_model_of_ones_own_is_loaded_into_itself(tmp_path: Path) -> None:
    config = tiny()
    splits = open_source(config.data)
    made = Model.from_config(config, splits.spec)
    own = Model(made.network, made.diffusion, splits.spec)
    train(config, splits, tmp_path / "run", model=own)
    save(tmp_path / "own.safetensors", own)
    for path in (tmp_path / "run", tmp_path / "own.safetensors"):
        with pytest.raises(UserError, match=r"give it: iddpm.load\(path, model=...\)"):
            load(path)
        again = Model(Model.from_config(config, splits.spec).network, made.diffusion, splits.spec)
        assert load(path, model=again) is again
    for ours, theirs in zip(again.network.parameters(), own.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(sample(again, 2, steps=2), sample(own, 2, steps=2))  # not laid out alike in memory
    with pytest.raises(UserError, match="no configuration"):
        save(tmp_path / "another", own)
    other = Model(nn.Conv2d(1, 2, 3), made.diffusion, splits.spec)
    with pytest.raises(UserError, match="do not belong together"):
        load(tmp_path / "run", model=other)
    with pytest.raises(UserError, match="do not belong together"):
        train(config.with_changes(training={"steps": 6}), splits, tmp_path / "run", model=other)


def test_a_diffusion_that_the_configuration_does_not_make_is_not_lost(tmp_path: Path) -> None:
    config = tiny()
    model = Model.from_config(config, open_source(config.data).spec)
    model.diffusion = model.diffusion.strided("10")
    with pytest.raises(UserError, match="its diffusion is not the one that its configuration makes"):
        save(tmp_path / "a.safetensors", model)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        load(tmp_path / "nothing")
    with pytest.raises(UserError, match="no config.json"):
        load(tmp_path)
    config = tiny()
    RunDirectory(tmp_path / "begun").begin(config, open_source(config.data).spec)
    with pytest.raises(UserError, match="no checkpoint yet"):
        load(tmp_path / "begun")


def test_a_run_with_a_damaged_checkpoint_names_the_way_out(tmp_path: Path) -> None:
    config = tiny(training={"checkpoint_every": 2})
    splits = open_source(config.data)
    train(config, splits, tmp_path)
    file = tmp_path / "checkpoints" / "step-00000004" / "training.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match="write step-00000002 into"):
        train(tiny(training={"steps": 6, "checkpoint_every": 2}), splits, tmp_path)
    (tmp_path / "checkpoints" / "latest").write_text("step-00000002\n")
    train(config, splits, tmp_path)
    assert load(tmp_path).step == 4


def test_configurations_of_other_versions_are_refused(tmp_path: Path) -> None:
    config = tiny()
    run = RunDirectory(tmp_path)
    run.begin(config, open_source(config.data).spec)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "format": 7}))
    with pytest.raises(UserError, match="format version 7"):
        run.read_config()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        run.read_config()
