from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from iddpm.build import build_network
from iddpm.cli.main import main
from iddpm.config import DatasetSpec
from iddpm.networks.attention import Attention
from iddpm.presets import preset
from iddpm.speed import Peak, count_flops, suitable_batch
from tests.training.tiny import tiny


@pytest.mark.slow
def test_flops_are_counted() -> None:
    spec = DatasetSpec(channels=3, size=(32, 32), levels=256)
    cost = count_flops(preset("cifar10"), spec)
    found = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal found
        if isinstance(module, nn.Conv2d | nn.Linear):
            found += 2 * output.numel() * module.weight[0].numel()
        if isinstance(module, Attention):
            found += 2 * 2 * (output.shape[2] * output.shape[3]) ** 2 * output.shape[1]

    network = build_network(preset("cifar10"), spec)
    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32), torch.zeros(1))
    assert cost.forward == found
    assert 2.8 * cost.forward < cost.training < 3.1 * cost.forward


def test_a_batch_is_a_power_of_two_that_fits_the_time() -> None:
    peak = Peak(matrix_product=1e11, convolution=1e11)
    assert suitable_batch(128, 10**6, peak) == 128
    assert suitable_batch(100, 10**6, peak) == 64
    assert suitable_batch(128, 10**10, peak) == 8
    assert suitable_batch(128, 10**13, peak) == 1


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [{}, {"classes": True}])
def test_bench_measures_all_work(
    conditions: dict[str, bool], tmp_path: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.json"  # type: ignore[operator]
    path.write_text(json.dumps(tiny(network=conditions).to_json()))
    words = ["bench", str(path), "--seconds", "0.05", "--batch-size", "2", "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [work["work"] for work in found["work"]] == ["sampling", "likelihood", "training"]
    for work in found["work"]:
        assert work["batch"] == 2
        assert work["images_per_second"] == pytest.approx(2 / work["seconds_a_call"])
        assert 0 < work["share"] < 1.5
        assert work["memory"] > 2**20
    assert found["threads"] == torch.get_num_threads()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "a whole run, 4 steps of 16" in said
    assert "of peak" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere"),
        (["digits", "--batch-size", "0"], "--batch-size: must be at least 1, got 0"),
        (["digits", "--seconds", "0"], "--seconds: must be more than 0"),
        (["digits", "--precision", "half"], "precision"),
    ],
)
def test_bench_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err
