"""Every experiment, from training to its page, in a size that says nothing but takes seconds."""

import io
import json
import sys
import zipfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iddpm.build import build_network
from iddpm.checkpoints.run import RunDirectory
from iddpm.cli.commands.reproduce import ReproduceArguments
from iddpm.cli.main import main
from iddpm.cli.work import reproduce
from iddpm.config import Config, DataConfig, NetworkConfig
from iddpm.errors import DivergedError
from iddpm.experiments import measures
from iddpm.experiments.catalogue import EXPERIMENTS
from iddpm.experiments.data import fingerprint, opened
from iddpm.experiments.diffusion_run import DiffusionRun, flags
from iddpm.experiments.experiment import Cell, Label, Outcome
from iddpm.experiments.names import NAMES
from iddpm.experiments.page import plain, write
from iddpm.experiments.paper import (
    ablation,
    bound_by_step,
    gradient_noise,
    likelihood,
    sampling_speed,
    scaling,
    schedules,
)
from iddpm.experiments.rivals import learner as rivals
from iddpm.experiments.rivals.gan_run import GanRun
from iddpm.experiments.scales import Scale, paper, quiet, scale_of, small, tiny, varied
from iddpm.experiments.store import Store
from iddpm.experiments.verdicts import over_settings


def minuscule() -> Scale:
    base = tiny()
    changes = {"steps": 8, "batch_size": 8, "warmup_steps": 2, "checkpoint_every": 4}

    def shrunk(config: Config, network: NetworkConfig) -> Config:
        diffusion = config.diffusion.model_copy(update={"num_timesteps": 40})
        training = config.training.model_copy(update=changes)
        return config.model_copy(update={"diffusion": diffusion, "training": training, "network": network})

    network = NetworkConfig(channels=8, channel_multipliers=(1,), num_res_blocks=1)
    return replace(
        base,
        base=shrunk(base.base, network),
        classes=shrunk(base.classes, network.model_copy(update={"classes": True})),
        widened=shrunk(base.widened, network),
        widths=(4, 8, 12, 16),
        items=4,
        error=50.0,
        samples=100,
        sampling_steps="4",
    )


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch) -> Scale:
    monkeypatch.setattr(ablation, "LENGTHS", (30, 40))
    monkeypatch.setattr(gradient_noise, "LENGTH", {"tiny": 10})
    monkeypatch.setattr(gradient_noise, "BATCHES", 4)
    monkeypatch.setattr(
        likelihood, "SIZES", {"tiny": {kind: likelihood.Settings(8, 1, 2e-3) for kind in ("PixelCNN", "transformer")}}
    )
    monkeypatch.setattr(schedules, "SKIPPED", (0.0, 0.2))
    monkeypatch.setattr(sampling_speed, "COUNTS", {"tiny": (2, 3, 4, 5, 6, 7)})
    monkeypatch.setattr(measures, "REFERENCE", 200)
    monkeypatch.setattr(measures, "SHORT", 20)
    monkeypatch.setattr(scaling, "FEWEST", 100)
    monkeypatch.setattr(bound_by_step, "ITEMS", 4)
    monkeypatch.setattr(scaling, "LOOKS", (2, 1))
    return minuscule()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, as experiments share their runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_ends_in_a_page(name: str, smaller: Scale, runs: Path, tmp_path: Path) -> None:
    experiment = EXPERIMENTS[name]()
    cells = experiment.cells(smaller, 2)
    assert len({(cell.subject.key, str(cell)) for cell in cells}) == len(cells)
    store = Store(runs)
    for _ in store.work(cells):
        pass
    measured = [found for cell in cells if (found := store.measured(cell))]
    assert len(measured) == len(cells)
    outcome = experiment.conclude(smaller, measured)
    check(outcome)
    page = write(tmp_path, experiment, smaller, outcome, cells, measured, f"iddpm reproduce {name}")
    text = page.read_text()
    assert all(finding.claim in text for finding in outcome.findings)
    assert (tmp_path / f"{name}-tiny.png").stat().st_size > 5_000
    assert len(json.loads((tmp_path / f"{name}-tiny.json").read_text())["cells"]) == len(cells)


def check(outcome: Outcome) -> None:
    assert outcome.findings
    for table in outcome.tables:
        assert all(len(row) == len(table.header) for row in table.rows)
        assert plain(table)
        assert not any("nan" in cell for row in table.rows for cell in row)
    assert outcome.notes


def test_the_ablation_compares_what_differs_in_one_thing() -> None:
    values: dict[tuple[Label, ...], float] = {
        (length, schedule, 0): at + 10 * (schedule == "linear")
        for at, (length, schedule) in enumerate(product((1000, 4000), ("linear", "cosine")))
    }
    found = ablation.pairs(values, ablation.SCHEDULE, "cosine", "linear")
    assert found == {"T 1,000": [(1, 10)], "T 4,000": [(3, 12)]}
    assert over_settings(found.values()) == [(2, 11)]


def test_a_page_on_other_data_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert str(scale_of("tiny")) == "tiny"
    with zipfile.ZipFile(tmp_path / "cifar10_train.zip", "w") as archive:
        for number in range(4):
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(picture, "PNG")
            archive.writestr(f"{number}.png", picture.getvalue())
    larger = scale_of("tiny", DataConfig(source=f"zip:{tmp_path}/cifar10_train.zip", size=16, channels=3))
    assert str(larger) == "tiny-cifar10_train-16"
    assert larger.base.training.batch_size == tiny().base.training.batch_size // 2
    assert str(scale_of("small", DataConfig(source="digits"))) == "small-digits"


def test_names_are_those_of_the_catalogue() -> None:
    assert list(NAMES) == list(EXPERIMENTS)


@pytest.mark.parametrize("scale", [tiny(), small(), paper()])
def test_a_printed_command_makes_the_very_run(scale: Scale) -> None:
    from iddpm.cli.arguments import parse
    from iddpm.cli.commands.train import TrainArguments, start_of

    for objective in ("L_simple", "L_vlb"):
        config = varied(scale.base, schedule="linear", objective=objective, seed=3)  # type: ignore[arg-type]
        for each in (config, scale.classes):
            start = "digits" if each.data.source == "digits" else "cifar10"
            default, where, _ = start_of(start)
            values = {name: getattr(default, name) for name in Config.model_fields}
            words = flags(each, start)
            told = parse(
                TrainArguments, words, command="train", description="", default=TrainArguments(**values, run=where)
            )
            assert Config(**{name: getattr(told, name) for name in Config.model_fields}) == each


def test_a_rival_goes_on_exactly_where_it_was(smaller: Scale, tmp_path: Path) -> None:
    run = likelihood.AutoregressiveRun("PixelCNN", likelihood.Settings(6, 1, 2e-3), smaller.base.data, 6, 4, 0)
    for _ in rivals.train(likelihood._Learner(run), tmp_path / "whole", 6, 2):
        pass
    halves = rivals.train(likelihood._Learner(run), tmp_path / "halves", 6, 2)
    for progress in halves:
        if progress.done == 5:
            break
    with pytest.raises(KeyboardInterrupt):  # in the middle of a step: what came after the last state is done again
        halves.throw(KeyboardInterrupt)
    assert rivals.steps_done(tmp_path / "halves") == 4
    for _ in rivals.train(likelihood._Learner(run), tmp_path / "halves", 6, 2):
        pass
    for name in ("network", "average"):
        whole, halved = (rivals.module_state(tmp_path / each, name) for each in ("whole", "halves"))
        assert all(torch.equal(whole[key], halved[key]) for key in whole)


def test_rivals_have_the_same_budget() -> None:
    cells = EXPERIMENTS["likelihood"]().cells(tiny(), 1)
    ours, _, *rivals_of_it = [cell.subject for cell in cells]
    for rival in rivals_of_it:
        assert isinstance(rival, likelihood.AutoregressiveRun)
        step = rival.flops() / rival.steps
        assert 0 <= ours.flops() - rival.flops() < step
    diffusion, gan = [cell.subject for cell in EXPERIMENTS["coverage"]().cells(tiny(), 1)]
    assert isinstance(gan, GanRun)
    assert 0 <= diffusion.flops() - gan.flops() < gan.flops() / gan.steps


def test_an_ablation_run_costs_its_convolutions() -> None:
    """A count by hand of the 3x3 convolutions alone is most of what torch counts, and not more."""
    run = EXPERIMENTS["ablation"]().cells(tiny(), 1)[0].subject
    assert isinstance(run, DiffusionRun)
    training = run.config.training
    network = build_network(run.config, opened(run.config.data).spec)
    sides = {16: 64, 32: 16}  # pixels at the two levels, by channels
    forward = 2 * sum(
        each.weight.numel() * sides[each.out_channels]
        for each in network.modules()
        if isinstance(each, torch.nn.Conv2d) and each.out_channels in sides
    )
    counted = run.flops() / (training.steps * training.batch_size)
    assert 3 * forward * 0.8 < counted < 3 * forward * 1.6


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_is_laid_out_on_other_data(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", images=rng.integers(0, 256, (64, 16, 16, 3), dtype=np.uint8), labels=np.arange(64) % 2)
    for source in (DataConfig(source="photos", size=16, channels=3), DataConfig(source=f"npz:{tmp_path}/x.npz")):
        scale = scale_of("tiny", source)
        for cell in EXPERIMENTS[name]().cells(scale, 1):
            assert cell.subject.flops() > 0
    assert scale.classes.network.classes
    assert not scale_of("tiny", DataConfig(source="photos", size=16, channels=3)).classes.network.classes


def test_a_run_without_its_last_validation_is_not_made(smaller: Scale, tmp_path: Path) -> None:
    run = EXPERIMENTS["gradient-noise"]().cells(smaller, 1)[0].subject
    list(run.make(tmp_path))
    assert run.is_made(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert "validation_bits" in lines[-1]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert not run.is_made(tmp_path)
    list(run.make(tmp_path))
    assert run.is_made(tmp_path)


def test_other_data_replaces_the_scales_own() -> None:
    data = DataConfig(source="digits", size=8, channels=1, levels=17)
    assert scale_of("tiny", data).base.data == data


def test_quiet_runs_do_not_look_at_themselves() -> None:
    training = quiet(Config()).training
    assert training.validate_every == training.sample_every == 0


def test_cells_have_names() -> None:
    cell = Cell({"T": 1000, "schedule": "cosine", "seed": 2}, DiffusionRun(Config()), ())
    assert str(cell) == "T 1000, cosine, seed 2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], 'NAME: "nothing" is no experiment'),
        (["ablation", "--seeds", "0"], "--seeds: must be at least 1"),
        (["ablation", "--jobs", "0"], "--jobs: must be at least 1"),
        (["ablation", "--size", "8"], "--size: is for --data"),
        (["ablation", "--channels", "3"], "--channels: is for --data"),
        (["ablation", "--json", "--print-commands"], "--json: is for findings"),
        (["ablation", "--data", "folder:colours"], "--channels: folder:colours mixes 1 grey (0.png) and 1 colour"),
        (["ablation", "--data", "nowhere"], '--data: "nowhere" is not known'),
        (["coverage", "--samples", "nowhere"], "--samples: nowhere does not exist"),
        (["ablation", "--scale", "huge"], "--scale"),
        (["ablation", "--out", "/proc/no/such"], "--out: /proc/no/such cannot be written"),
        (["ablation", "--runs", "/proc/no/such"], "--runs: /proc/no/such cannot be written"),
        (["ablation", "--data", "photos", "--size", "15"], "--size: 15x15 cannot be halved"),
        (["ablation", "--scale", "small"], "--data: data/cifar10 does not exist"),
        (["ablation", "--data", "folder:small", "--size", "16"], "or with --size a size that these have"),
        (["ablation", "--data", "folder:small", "--size", "7"], "--size: 7x7 cannot be halved"),
        (["coverage", "--samples", "mixed"], "--samples: images in folder:mixed differ in size (8x8, 9x9, ...); give"),
    ],
)
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


def test_data_that_has_changed_is_refused(smaller: Scale, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_run_that_diverges_is_named(smaller: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr("iddpm.training.trainer.Trainer.optimize", diverge)
    run = EXPERIMENTS["schedules"]().cells(smaller, 1)[0].subject
    with pytest.raises(DivergedError, match=rf"not finite\n  this run: iddpm train {tmp_path}, with such flags"):
        list(run.make(tmp_path))


def test_helpers_work_and_conclude_nothing(
    smaller: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another process with --jobs starts does the work, and leaves the page to it."""
    told: list[list[str]] = []
    environment: dict[str, str] = {}

    class Helper:
        def __init__(self, words: list[str], env: dict[str, str], stdout: int, stderr: int) -> None:
            told.append(words)
            environment.update(env)
            monkeypatch.setenv(reproduce.WORKER, env[reproduce.WORKER])
            assert main(words[3:]) == 0
            monkeypatch.delenv(reproduce.WORKER)
            assert capsys.readouterr().out == ""

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("iddpm.experiments.scales.scale_of", lambda name, data: smaller)
    monkeypatch.setattr(reproduce.subprocess, "Popen", Helper)
    words = ["reproduce", "bound-by-step", "--seeds", "1", "--jobs", "2", "--runs", str(tmp_path)]
    threads = torch.get_num_threads()
    assert main(words) == 0
    torch.set_num_threads(threads)
    assert told == [[sys.executable, "-m", "iddpm", *words]]
    assert environment[reproduce.WORKER] == "bound-by-step"
    said = capsys.readouterr()
    assert "holds" in said.out
    assert said.out.splitlines()[-1] == str(tmp_path / "bound-by-step-tiny.md")


def test_a_page_names_the_command_that_makes_it() -> None:
    asked = ReproduceArguments(
        name="all", seeds=2, data="zip:a b.zip", size=16, samples=("x", "y"), jobs=1, runs="r", out="o", json=True
    )
    command = "iddpm reproduce steps --seeds 2 --data 'zip:a b.zip' --size 16"
    assert reproduce._command(asked, "steps") == command
    assert reproduce._command(asked, "coverage") == f"{command} --samples x y".replace("steps", "coverage")
    assert reproduce._command(ReproduceArguments(name="steps"), "steps") == "iddpm reproduce steps"


def test_commands_for_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "ablation", "--runs", "/proc/no/such", "--print-commands", "--seeds", "1"]) == 0
    assert "iddpm train cifar10 --run /proc/no/such/" in capsys.readouterr().out
    assert main(["reproduce", "ablation", "--runs", str(tmp_path), "--print-commands", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert main(["reproduce", "all", "--runs", str(tmp_path), "--print-commands", "--seeds", "1"]) == 0
    everything = capsys.readouterr().out.splitlines()
    assert len(set(everything)) == len(everything)
    assert set(lines) < set(everything)
    assert all(line.startswith("iddpm train cifar10 --run ") for line in lines)
    assert not any(tmp_path.iterdir())


def test_work_that_is_stopped_between_steps_loses_none(smaller: Scale, tmp_path: Path) -> None:
    """Whole and in two parts, diffusion and rivals come to the same weights."""
    cells = likelihood.Likelihood().cells(smaller, 1)[1:3]
    for cell in cells:
        for _ in Store(tmp_path / "whole").work([cell]):
            pass
        events = Store(tmp_path / "parts").work([cell])
        for _, _, progress in events:
            if progress and progress.what == "training" and progress.done == 5:
                break
        events.close()
        folder = Store(tmp_path / "parts").folder(cell.subject)
        steps = rivals.steps_done(folder) or int(str(RunDirectory(folder).latest())[-1])
        assert steps == 5
        for _ in Store(tmp_path / "parts").work([cell]):
            pass
        whole, parts = (Store(tmp_path / each).measured(cell) for each in ("whole", "parts"))
        assert whole is not None
        assert parts is not None
        assert whole.found["bits"]["bits"] == parts.found["bits"]["bits"]
