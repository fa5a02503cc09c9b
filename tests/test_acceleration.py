from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from iddpm import acceleration
from iddpm.acceleration import chosen_precision, compile_network, is_worth_compiling
from iddpm.build import build_network
from iddpm.config import DatasetSpec
from iddpm.data import open_source
from iddpm.errors import UserError
from iddpm.kernels.library import unavailable
from iddpm.model import Model
from iddpm.networks import UNet
from iddpm.networks.unet import Stage
from iddpm.training.trainer import Trainer
from tests.training.tiny import tiny

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_compiler = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IDDPM_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch"))
    yield tmp_path / "torch"
    torch.compiler.reset()


def network() -> UNet:
    torch.manual_seed(0)
    made = UNet((4, 4), 1, 2, channels=32, channel_multipliers=(1,), num_res_blocks=1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def test_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert chosen_precision("auto", CPU, training=True) == "float32"
    assert chosen_precision("auto", CUDA, training=True) == "bfloat16"
    assert chosen_precision("auto", CUDA, training=False) == "tf32"
    assert chosen_precision("bfloat16", CPU, training=False) == "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert chosen_precision("auto", CUDA, training=True) == "tf32"
    with pytest.raises(UserError, match="precision: cuda does not compute in bfloat16; use float32 or tf32"):
        chosen_precision("bfloat16", CUDA, training=True)


def test_compiling_pays_for_long_work_on_a_gpu() -> None:
    assert is_worth_compiling("auto", CUDA, 10_000)
    assert not is_worth_compiling("auto", CUDA, 500)
    assert not is_worth_compiling("auto", CPU, 10**9)
    assert is_worth_compiling("on", CPU, 1)
    assert not is_worth_compiling("off", CUDA, 10**9)


def shallow(*given: Any) -> UNet:
    """Return a network of one residual block and one attention, which compiles in a quarter of the time."""
    made = build_network(*given)
    made.middle = Stage(made.middle.layers[1])
    made.decoder = nn.ModuleList()
    return made


@pytest.mark.slow
@needs_compiler
def test_compiled_training_equals_eager_training(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iddpm.model.build_network", shallow)
    splits = open_source(tiny().data)
    small = {"network": {"channel_multipliers": (1,), "num_res_blocks": 1, "attention_resolutions": ()}}
    rate = {"learning_rate": 1e-4, "warmup_steps": 0}
    messages: list[str] = []
    eager = Trainer.from_config(tiny(**small, training={**rate, "compile": "off"}), splits.spec)
    compiled = Trainer.from_config(tiny(**small, training={**rate, "compile": "on"}), splits.spec, tell=messages.append)
    x_0 = torch.linspace(-1, 1, 16 * 64).reshape(16, 1, 8, 8)
    for trainer in (eager, compiled):
        for _ in range(20):
            trainer.optimize(trainer.draw(x_0))
    assert messages == []
    assert list(cache.iterdir())
    assert not list(cache.glob("compiling-*"))
    expected = eager.network.state_dict()
    assert list(compiled.network.state_dict()) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(compiled.network.state_dict()[name], tensor, rtol=0, atol=1e-4, msg=name)


def test_a_graph_that_fails_is_one_line_and_the_same_numbers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x, t = network(), torch.randn(2, 1, 4, 4), torch.tensor([3, 5])
    expected = made(x, t)

    def fail(*inputs: object, **named: object) -> object:
        raise RuntimeError("the back end has a bad day\nand many lines about it")

    monkeypatch.setattr(torch, "compile", lambda *given, **options: fail)
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: "/usr/bin/c++")
    messages: list[str] = []
    compile_network(made, messages.append)
    assert torch.equal(made(x, t), expected)
    assert torch.equal(made(x, t), expected)
    assert messages == ["compile: failed (the back end has a bad day); going on without"]
    assert not list(cache.glob("compiling-*"))


def test_a_users_mistake_is_not_taken_for_a_failed_graph(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    monkeypatch.setattr(torch, "compile", lambda call, **options: call)
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: "/usr/bin/c++")
    messages: list[str] = []
    compile_network(made, messages.append)
    with pytest.raises(UserError, match="x: needs"):
        made(torch.zeros(2, 1, 4), torch.tensor([1, 2]))
    assert messages == []


def test_no_compiler_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    messages: list[str] = []
    made = network()
    compile_network(made, messages.append)
    assert messages == ["compile: no C++ compiler is installed; going on without"]
    assert made(torch.zeros(1, 1, 4, 4), torch.tensor([1])).shape == (1, 2, 4, 4)


def test_what_a_killed_compilation_left_is_thrown_away(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    cache.mkdir(parents=True)
    (cache / f"compiling-{ended.pid}").touch()
    (cache / "half-a-library.so").write_bytes(b"\x7fELF")
    monkeypatch.setattr(torch, "compile", lambda call, **options: call)
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: "/usr/bin/c++")
    messages: list[str] = []
    made = network()
    compile_network(made, messages.append)
    assert messages == ["compile: one was interrupted earlier; emptying the cache, and compiling anew"]
    assert [path.name.split("-")[0] for path in cache.iterdir()] == ["compiling"]
    made(torch.zeros(1, 1, 4, 4), torch.tensor([1]))
    assert not list(cache.iterdir())


def test_a_model_computes_in_bfloat16_and_gives_float32() -> None:
    model = Model.from_config(tiny(), DatasetSpec(channels=1, size=(8, 8), levels=17)).to("cpu")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        x, t = torch.randn(2, 1, 8, 8), torch.tensor([3])
        exact = model.predict()(x, t)
        rounded = model.accelerate(calls=1, precision="bfloat16", tell=pytest.fail).predict()(x, t)
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).abs().max()) < 0.1
