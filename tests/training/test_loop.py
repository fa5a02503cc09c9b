"""The loop: what it yields and writes, and going on after it was stopped or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from iddpm.checkpoints.loading import load
from iddpm.checkpoints.run import RunDirectory
from iddpm.checkpoints.state import TrainingState, load_state
from iddpm.config import Config
from iddpm.data import open_source
from iddpm.errors import UserError
from iddpm.training import Finished, Saved, Stepped, Validated, WroteSamples, train_events
from tests.training.tiny import tiny


def run_to_end(config: Config, run: Path) -> list[object]:
    return list(train_events(config, open_source(config.data), run))


def state_of(config: Config, run: Path) -> TrainingState:
    state = load_state(RunDirectory(run), config.training.ema_rates)
    assert state is not None
    return state


def assert_same_state(first: TrainingState, second: TrainingState) -> None:
    """Bit for bit."""
    assert first.step == second.step
    for part in ("raw", "optimizer", "timestep_sampler", "window"):
        ours, theirs = getattr(first, part), getattr(second, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    for rate, average in first.averages.items():
        assert all(torch.equal(tensor, second.averages[rate][name]) for name, tensor in average.items())


EVERYTHING = {
    "network": {"dropout": 0.2, "classes": True},
    "objective": {"timesteps": "importance"},
    "data": {"flip": True},
    "diffusion": {"num_timesteps": 4},  # so that importance sampling warms up within the first half
    "training": {
        "steps": 20,
        "batch_size": 16,
        "warmup_steps": 5,
        "decay": True,
        "ema_rates": (0.9, 0.99),
        "checkpoint_every": 10,
        "log_every": 3,
        "gradient_clip": 1.0,
        "weight_decay": 0.01,
    },
}


@pytest.mark.slow
def test_twenty_steps_are_ten_and_a_kill_and_ten(tmp_path: Path) -> None:
    """The process is killed outright, with the second ten under way, and the same call goes on."""
    config = tiny(**EVERYTHING)
    run_to_end(config, tmp_path / "whole")
    script = (
        "import json, sys, time\n"
        "import torch\n"
        "from iddpm import Config, open_source, train_events\n"
        "from iddpm.training import Stepped\n"
        "torch.set_num_threads(int(sys.argv[3]))\n"
        "config = Config.model_validate_json(sys.argv[1])\n"
        "for event in train_events(config, open_source(config.data), sys.argv[2]):\n"
        "    if isinstance(event, Stepped) and event.step == 14:\n"
        "        print('fourteen', flush=True)\n"
        "        time.sleep(600)\n"
    )
    threads = str(torch.get_num_threads())
    arguments = [sys.executable, "-c", script, config.model_dump_json(), str(tmp_path / "killed"), threads]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fourteen\n"
        process.kill()
    assert state_of(config, tmp_path / "killed").step == 10
    run_to_end(config, tmp_path / "killed")
    assert_same_state(state_of(config, tmp_path / "whole"), state_of(config, tmp_path / "killed"))
    whole, killed = (
        [
            {key: value for key, value in json.loads(line).items() if key != "images_per_second"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    )
    assert whole == killed


@pytest.mark.slow
def test_being_asked_to_stop_saves_and_loses_nothing(tmp_path: Path) -> None:
    config = tiny(**EVERYTHING)
    run_to_end(config, tmp_path / "whole")
    asked = []
    steps = 0
    events = train_events(config, open_source(config.data), tmp_path / "stopped", stop=lambda: bool(asked))
    for event in events:
        if isinstance(event, Stepped):
            steps += 1
            if event.step == 7:
                asked.append(True)
    assert steps == 7
    assert isinstance(event, Saved)
    assert event.step == 7
    run_to_end(config, tmp_path / "stopped")
    assert_same_state(state_of(config, tmp_path / "whole"), state_of(config, tmp_path / "stopped"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_a_checkpoint_and_say_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    run, settings = tmp_path / "run", tmp_path / "settings.json"
    settings.write_text(json.dumps(tiny(training={"steps": 10**6, "log_every": 1}).to_json()))
    command = [sys.executable, "-m", "iddpm", "train", str(settings), "--run", str(run), "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (run / "metrics.jsonl").exists() and process.poll() is None:  # its first step
            time.sleep(0.02)
        process.send_signal(number)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 128 + number
    assert f"to go on: iddpm train {run}" in said
    assert load(run).step > 0


def test_validation_and_samples_at_intervals(tmp_path: Path) -> None:
    config = tiny(
        training={
            "steps": 5,
            "validate_every": 2,
            "validate_count": 10,
            "validate_steps": "3",
            "sample_every": 2,
            "sample_count": 4,
            "sample_steps": "3",
        }
    )
    events = run_to_end(config, tmp_path)
    assert [event.step for event in events if isinstance(event, Validated)] == [2, 4, 5]
    pictures = [event.path for event in events if isinstance(event, WroteSamples)]
    names = {path.name for path in pictures}
    assert "step-00000002-raw.png" in names
    assert "step-00000005-ema-0.998.png" in names
    assert all(path.is_file() for path in pictures)
    assert isinstance(events[-1], Finished)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validated = [record for record in records if "validation_bits" in record]
    assert [record["validation_steps"] for record in validated] == [3, 3, 3]
    assert {"simple_q0", "vlb_q3", "gradient_norm", "images_per_second"} <= records[-2].keys()


def test_a_finished_run_says_so_and_changes_nothing(tmp_path: Path) -> None:
    config = tiny()
    run_to_end(config, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*")}
    assert run_to_end(config, tmp_path) == [Finished(4)]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*")} == before


def test_more_steps_go_on_and_other_settings_are_refused(tmp_path: Path) -> None:
    run_to_end(tiny(), tmp_path)
    with pytest.raises(UserError, match=r"training.weight_decay: the run in .* has 0.0, asked for 0.1"):
        run_to_end(tiny(training={"weight_decay": 0.1}), tmp_path)
    events = run_to_end(tiny(training={"steps": 6}), tmp_path)
    assert [event.step for event in events if isinstance(event, Stepped)] == [5, 6]


def test_a_decaying_runs_end_cannot_be_moved(tmp_path: Path) -> None:
    run_to_end(tiny(training={"decay": True}), tmp_path)
    with pytest.raises(UserError, match="training.steps"):
        run_to_end(tiny(training={"decay": True, "steps": 6}), tmp_path)


def test_a_run_notices_that_its_data_has_changed(tmp_path: Path) -> None:
    items = np.random.default_rng(0).integers(0, 17, (40, 8, 8), dtype=np.uint8)
    data = {"source": f"npy:{tmp_path}/a.npy", "num_classes": None}
    np.save(tmp_path / "a.npy", items)
    run_to_end(tiny(data=data), tmp_path / "run")
    np.save(tmp_path / "a.npy", np.concatenate([items, items]))
    with pytest.raises(UserError, match="is no longer what the run"):
        run_to_end(tiny(data=data, training={"steps": 6}), tmp_path / "run")


def test_going_back_leaves_the_later_steps(tmp_path: Path) -> None:
    run_to_end(tiny(training={"steps": 6, "checkpoint_every": 2, "keep_checkpoints": 3}), tmp_path)
    (tmp_path / "checkpoints" / "latest").write_text("step-00000002\n")
    run_to_end(tiny(training={"steps": 3, "keep_checkpoints": 2}), tmp_path)
    assert [path.name for path in RunDirectory(tmp_path).checkpoints()] == ["step-00000002", "step-00000003"]
    assert load(tmp_path).step == 3


def test_a_run_that_has_no_checkpoint_yet_can_be_begun_anew(tmp_path: Path) -> None:
    config = tiny()
    RunDirectory(tmp_path).begin(config, open_source(config.data).spec)
    run_to_end(tiny(training={"weight_decay": 0.1}), tmp_path)
    assert load(tmp_path).config.training.weight_decay == 0.1


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    config = tiny()
    events = train_events(config, open_source(config.data), tmp_path)
    next(events)
    with pytest.raises(UserError, match="another process is training this run"):
        run_to_end(config, tmp_path)
    events.close()
    assert run_to_end(config, tmp_path)[-1] == Finished(4)


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    run_to_end(tiny(training={"steps": 5, "checkpoint_every": 1, "keep_checkpoints": 2}), tmp_path)
    assert [path.name for path in RunDirectory(tmp_path).checkpoints()] == ["step-00000004", "step-00000005"]


def test_a_run_cannot_end_before_where_it_is(tmp_path: Path) -> None:
    run_to_end(tiny(training={"steps": 4}), tmp_path)
    with pytest.raises(UserError, match="is at step 4, past 3"):
        run_to_end(tiny(training={"steps": 3}), tmp_path)
    assert RunDirectory(tmp_path).read_config()[0].training.steps == 4


def test_checkpoints_of_interruptions_do_not_push_out_the_regular_ones(tmp_path: Path) -> None:
    config = tiny(training={"steps": 6, "checkpoint_every": 2, "keep_checkpoints": 3})
    splits = open_source(config.data)
    for _ in range(6):  # stopped after every step
        list(train_events(config, splits, tmp_path, stop=lambda: True))
    kept = [path.name for path in RunDirectory(tmp_path).checkpoints()]
    assert kept == ["step-00000002", "step-00000004", "step-00000005", "step-00000006"]


def test_strides_longer_than_the_chain_are_refused_before_training(tmp_path: Path) -> None:
    config = tiny(training={"validate_every": 2, "validate_steps": "21"})
    with pytest.raises(UserError, match="training.validate_steps: 21 is more than the chain's 20"):
        run_to_end(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_upsampler_trains_and_draws(tmp_path: Path) -> None:
    config = tiny(network={"low_resolution": 4}, training={"sample_every": 4, "sample_count": 4, "sample_steps": "2"})
    events = run_to_end(config, tmp_path)
    assert any(isinstance(event, WroteSamples) for event in events)
