"""Models that experiments make: what they cost, how they go on, and when they are made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from iddpm.build import build_network
from iddpm.checkpoints.run import RunDirectory
from iddpm.config import Config
from iddpm.errors import DivergedError
from iddpm.experiments.data import opened
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Subject
from iddpm.experiments.measures import Bits
from iddpm.experiments.rivals import learner as rivals
from iddpm.experiments.rivals.autoregressive_run import AutoregressiveRun, ExactBits
from iddpm.experiments.rivals.gan_run import GanRun
from iddpm.experiments.scales import tiny, varied
from iddpm.experiments.store import Store
from iddpm.names import EXPERIMENTS
from iddpm.progress import finish

from .small import autoregressive, diffusion, made

pytestmark = pytest.mark.slow


def test_cells_have_names() -> None:
    cell = Cell({"T": 1000, "schedule": "cosine", "seed": 2}, DiffusionRun(Config()), ())
    assert str(cell) == "T 1000, cosine, seed 2"


def test_runs_keep_the_folders_that_they_had() -> None:
    """Keys of stored runs, written down when they were stored."""
    assert DiffusionRun(varied(tiny().base, schedule="linear", seed=3)).key == "9bc46f173db0"
    assert DiffusionRun(varied(tiny().base, seed=4)).key == "76b345c07374"


def test_rivals_have_the_same_budget() -> None:
    ours, _, *others = [cell.subject for cell in EXPERIMENTS["likelihood"]().cells(tiny(), 1)]
    for rival in others:
        assert isinstance(rival, AutoregressiveRun)
        assert 0 <= ours.flops() - rival.flops() < rival.flops() / rival.steps
    run, gan = [cell.subject for cell in EXPERIMENTS["coverage"]().cells(tiny(), 1)]
    assert isinstance(gan, GanRun)
    assert 0 <= run.flops() - gan.flops() < gan.flops() / gan.steps


def test_a_run_costs_its_convolutions() -> None:
    """A count by hand of the 3x3 convolutions alone is most of what torch counts, and not more."""
    run = DiffusionRun(varied(tiny().base, objective="L_simple", seed=0))
    training = run.config.training
    network = build_network(run.config, opened(run.config.data).spec)
    sides = {16: 64, 32: 16}  # pixels at the two levels, by channels
    forward = 2 * sum(
        layer.weight.numel() * sides[layer.out_channels]
        for layer in network.modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels in sides
    )
    counted = run.flops() / (training.steps * training.batch_size)
    assert 3 * forward * 0.8 < counted < 3 * forward * 1.6
    assert run.parameters() == sum(weights.numel() for weights in network.parameters())


def test_a_run_without_its_last_validation_is_not_made(tmp_path: Path) -> None:
    run = diffusion()
    made(run, tmp_path)
    assert run.is_made(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert "validation_bits" in lines[-1]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert not run.is_made(tmp_path)
    made(run, tmp_path)
    assert run.is_made(tmp_path)


def test_a_run_that_diverges_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr("iddpm.training.trainer.Trainer.optimize", diverge)
    with pytest.raises(DivergedError, match=rf"not finite\n  this run: {tmp_path}; train it to its end with other"):
        made(diffusion(), tmp_path)


def test_a_rival_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    run = autoregressive(steps=6)
    finish(rivals.train(run.learner(), tmp_path / "whole", 6, 2))
    halves = rivals.train(run.learner(), tmp_path / "halves", 6, 2)
    for progress in halves:
        if progress.done == 5:
            break
    with pytest.raises(KeyboardInterrupt):  # in the middle of a step: what came after the last state is done again
        halves.throw(KeyboardInterrupt)
    assert rivals.steps_done(tmp_path / "halves") == 4
    finish(rivals.train(run.learner(), tmp_path / "halves", 6, 2))
    for name in ("network", "average"):
        whole, halved = (rivals.module_state(tmp_path / part, name) for part in ("whole", "halves"))
        assert all(torch.equal(whole[key], halved[key]) for key in whole)


@pytest.mark.parametrize(
    ("subject", "measure"), [(diffusion(), Bits("bits", 4, 50.0)), (autoregressive(), ExactBits("bits", 4))]
)
def test_work_that_is_stopped_between_steps_loses_none(
    subject: Subject, measure: Bits | ExactBits, tmp_path: Path
) -> None:
    """Whole and in two parts, diffusion and rivals come to the same bits/dim."""
    cells = [Cell({"seed": 0}, subject, (measure,))]
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    expected = finish(whole.work(cells))
    work = parts.work(cells)
    for progress in work:
        if "training 5/" in progress.what:
            break
    work.close()
    folder = parts.folder(subject)
    assert (rivals.steps_done(folder) or int(str(RunDirectory(folder).latest())[-1])) == 5
    assert finish(parts.work(cells))[0].results["bits"]["bits"] == expected[0].results["bits"]["bits"]
