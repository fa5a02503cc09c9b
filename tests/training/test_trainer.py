from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import multiprocessing

from iddpm.acceleration import choose_device
from iddpm.config import Config
from iddpm.data import open_source
from iddpm.errors import DivergedError, UserError
from iddpm.kernels.library import disabled, unavailable
from iddpm.training.averages import Averages
from iddpm.training.batches import Ahead, batch_indices
from iddpm.training.records import Records, Window
from iddpm.training.trainer import StepResult, Trainer
from tests.training.tiny import tiny


def trained(config: Config, steps: int = 3) -> Trainer:
    splits = open_source(config.data)
    trainer = Trainer.from_config(config, splits.spec)
    for _ in range(steps):
        rows = batch_indices(trainer.step, config.training.batch_size, len(splits.train), config.training.seed)
        x_0 = splits.train.batch(rows)
        trainer.optimize(trainer.draw(x_0, trainer.model.conditions_from(x_0, splits.train, rows)))
    return trainer


@pytest.mark.parametrize("timesteps", ["uniform", "importance"])
def test_microbatches_change_nothing_in_the_result(timesteps: str) -> None:
    whole = trained(tiny(objective={"timesteps": timesteps}))
    cut = trained(tiny(objective={"timesteps": timesteps}, training={"microbatch_size": 5}))
    for (name, first), second in zip(
        whole.network.state_dict().items(), cut.network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize(
    ("objective", "variance"), [("simple", "fixed_small"), ("vlb", "learned_range"), ("vlb", "fixed_large")]
)
@pytest.mark.parametrize("prediction", ["eps", "x_0", "v", "x_prev"])
def test_every_objective_and_prediction_trains(objective: str, variance: str, prediction: str) -> None:
    config = tiny(objective={"kind": objective}, diffusion={"variance": variance, "prediction": prediction})
    trainer = trained(config, steps=2)
    assert all(bool(torch.isfinite(p).all()) for p in trainer.network.parameters())


def test_early_averages_are_not_the_initial_weights() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0.0)
    warm = Averages(network, [0.9999, 0.5], warmup=True)
    cold = Averages(network, [0.9999], warmup=False)
    torch.nn.init.constant_(network.weight, 1.0)
    for step in range(1, 101):
        warm.update(step)
        cold.update(step)
    assert warm.state_dicts()[0.9999]["weight"].item() > 0.99
    assert cold.state_dicts()[0.9999]["weight"].item() == pytest.approx(1 - 0.9999**100, rel=1e-3)
    assert warm.state_dicts()[0.5]["weight"].item() == pytest.approx(1)


def test_learning_rate_warms_up_and_decays() -> None:
    trainer = Trainer.from_config(
        tiny(training={"steps": 10, "warmup_steps": 4, "decay": True, "learning_rate": 1.0}),
        open_source(tiny().data).spec,
    )
    rates = []
    for step in range(10):
        trainer.step = step
        rates.append(trainer.learning_rate())
    assert rates[:4] == pytest.approx([0.25, 0.5 * 0.9, 0.75 * 0.8, 0.7])
    assert rates[-1] == pytest.approx(0.1)


def test_a_number_that_is_not_finite_stops_training_with_a_diagnosis() -> None:
    trainer = trained(tiny(), steps=1)
    broken = dict(trainer.network.named_parameters())["decoder.0.layers.0.conv_in.weight"]
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    with torch.no_grad():
        broken[0, 0, 0, 0] = math.inf
    x_0 = torch.zeros(16, 1, 8, 8)
    with pytest.raises(DivergedError) as caught:
        trainer.optimize(trainer.draw(x_0))
    message = str(caught.value)
    assert "step 2" in message
    assert "decoder.0.layers.0.conv_in" in message
    assert "learning rate" in message
    assert "gradient norm" in message
    assert trainer.step == 1
    kept = {name: tensor for name, tensor in trainer.network.state_dict().items() if "decoder.0" not in name}
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.items())
    with pytest.raises(DivergedError, match="the data itself"):
        Trainer.from_config(tiny(), trainer.model.spec).optimize(trainer.draw(torch.full((16, 1, 8, 8), math.nan)))


def test_a_device_that_works_on_its_own_keeps_its_weights_and_is_heard_of_later() -> None:
    trainer = trained(tiny(), steps=2)
    trainer.checks_late = True  # as on a GPU
    good = trainer.draw(torch.zeros(16, 1, 8, 8))
    bad = trainer.draw(torch.zeros(16, 1, 8, 8))
    bad.x_0[3] = math.nan
    trainer.optimize(good)
    trainer.check()
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    trainer.optimize(bad)
    after = trainer.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    with pytest.raises(DivergedError, match=rf"step 4: (.*\n)+.*timesteps with such a loss: {int(bad.t[3])}\n"):
        trainer.optimize(good)
    trainer.optimize(bad)
    with pytest.raises(DivergedError, match="the data itself"):
        trainer.check()
    trainer.check()  # said once


def test_late_checks_change_no_number() -> None:
    early, late = (trained(tiny(), steps=1) for _ in range(2))
    late.checks_late = True
    for trainer in (early, late):
        for _ in range(3):
            trainer.optimize(trainer.draw(torch.zeros(16, 1, 8, 8)))
    for name, tensor in early.network.state_dict().items():
        assert torch.equal(tensor, late.network.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.skipif(unavailable() is not None, reason="no compiler here")
def test_training_with_kernels_equals_training_without() -> None:
    config = tiny(training={"learning_rate": 1e-4, "warmup_steps": 0})
    ours = trained(config, steps=20).raw_model()
    with disabled():
        theirs = trained(config, steps=20).raw_model()
    for name, tensor in theirs.network.state_dict().items():
        torch.testing.assert_close(ours.network.state_dict()[name], tensor, rtol=0, atol=1e-4, msg=name)


def test_bfloat16_trains_weights_in_float32() -> None:
    trainer = trained(tiny(training={"precision": "bfloat16"}), steps=3)
    rounded, exact = trainer.raw_model(), trained(tiny(), steps=3).raw_model()
    names = exact.network.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in rounded.network.state_dict().values())
    furthest = max(float((rounded.network.state_dict()[n] - t).abs().max()) for n, t in names.items())
    assert 0 < furthest < 0.01


def test_the_next_batch_is_made_while_a_step_runs() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        if step == 7:
            raise OSError("the disk is gone")
        return 10 * step

    ahead = Ahead(make)
    assert [ahead.take(step) for step in (4, 5)] == [40, 50]
    assert ahead.take(2) == 20  # not the one that was begun
    assert [ahead.take(3), ahead.take(4), ahead.take(5), ahead.take(6)] == [30, 40, 50, 60]
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.take(7)
    ahead.end()
    assert sorted(made[:4]) == [2, 4, 5, 6]


def test_the_diagnosis_names_the_timestep_of_a_microbatch() -> None:
    trainer = Trainer.from_config(tiny(training={"microbatch_size": 4}), open_source(tiny().data).spec)
    batch = trainer.draw(torch.zeros(16, 1, 8, 8))
    batch.x_0[9] = math.nan
    with pytest.raises(DivergedError, match=rf"timesteps with such a loss: {int(batch.t[9])}\n"):
        trainer.optimize(batch)


def test_every_item_is_seen_once_a_round() -> None:
    seen = np.concatenate([batch_indices(step, 6, 20, seed=1) for step in range(10)])
    for start in range(0, 60, 20):
        assert sorted(seen[start : start + 20]) == list(range(20))
    assert list(seen[:20]) != list(seen[20:40])
    assert list(batch_indices(0, 6, 20, seed=2)) != list(seen[:6])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="use training.batch_size=5 or less"):
        batch_indices(0, 6, 5, seed=0)


def test_window_means_are_unweighted_and_by_quarter() -> None:
    window = Window(8)
    t = torch.tensor([0, 1, 2, 7])
    window.add(StepResult(t, torch.ones(4), torch.tensor([1.0, 3.0, 5.0, 7.0]), None, torch.tensor(2.0), 0.1))
    means = window.means()
    assert means["simple"] == 4
    assert (means["simple_q0"], means["simple_q1"], means["simple_q3"]) == (2, 5, 7)
    assert "simple_q2" not in means
    assert "vlb" not in means
    other = Window(8)
    other.load_state_dict(window.state_dict())
    assert other.means() == means


def test_records_survive_a_line_that_was_cut_short(tmp_path: Path) -> None:
    records = Records(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        records.append({"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')
    records.cut_after(20)
    assert [record["step"] for record in records.read()] == [10, 20]


def test_an_unknown_device_is_refused() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("gpu", "cuda:97"):
        with pytest.raises(UserError, match="is not available"):
            choose_device(name)


SHARED = {
    "objective": {"kind": "vlb", "timesteps": "importance"},
    "diffusion": {"num_timesteps": 2},
    "training": {"validate_every": 2, "validate_count": 8, "validate_steps": "2", "microbatch_size": 3},
}


def _one_of_two(rank: int, port: int, folder: str) -> None:
    import os

    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1"
    )
    torch.set_num_threads(1)
    from iddpm.training import train

    config = tiny(**SHARED)
    train(config, open_source(config.data), folder)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Importance sampling included: every process learns of every loss, and draws the same steps."""
    import socket

    from iddpm.checkpoints.run import RunDirectory
    from iddpm.checkpoints.state import load_state
    from iddpm.training import train

    config = tiny(**SHARED)
    train(config, open_source(config.data), tmp_path / "one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_one_of_two, args=(port, str(tmp_path / "two")), nprocs=2)
    one, two = (load_state(RunDirectory(tmp_path / name), config.training.ema_rates) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert int(two.timestep_sampler["counts"].min()) == 10  # warmed up: its draws mattered
    for name in one.raw:
        torch.testing.assert_close(one.raw[name], two.raw[name], rtol=1e-3, atol=1e-4, msg=name)
    torch.testing.assert_close(one.timestep_sampler["history"], two.timestep_sampler["history"], rtol=1e-3, atol=1e-3)
