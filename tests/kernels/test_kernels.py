"""The C++ kernels: the same numbers as torch's operators, and never a reason not to run."""

from __future__ import annotations

import copy
import pickle
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from iddpm.conditions import Classes
from iddpm.kernels import build, library
from iddpm.kernels.convolution import TransformedWeights, conv3x3
from iddpm.kernels.library import disabled, unavailable
from iddpm.kernels.norm_silu import norm_silu
from iddpm.networks import UNet
from iddpm.networks.layers import convolution

available = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")


@pytest.fixture
def not_loaded() -> Iterator[None]:
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.fixture
def folder(not_loaded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache where no kernels are yet, which compile in half the time."""
    monkeypatch.setattr(build, "FLAGS", tuple(flag.replace("-O3", "-O1") for flag in build.FLAGS))
    monkeypatch.setenv("IDDPM_CACHE", str(tmp_path / "empty"))
    return tmp_path / "empty" / "kernels"


def inputs(shape: tuple[int, ...], rows: int | None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last) * 2 + 3
    channels = shape[1]
    vectors = [torch.randn(channels, generator=generator) for _ in range(2)]
    return [x, *vectors] + ([torch.randn(rows, 2 * channels, generator=generator)] if rows else [])


def convolution_inputs(batch: int, channels: tuple[int, int], height: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    into, out = channels
    x = torch.randn(batch, into, height, width, generator=generator) + 1
    weight = torch.randn(out, into, 3, 3, generator=generator) / (9 * into) ** 0.5
    bias = torch.randn(out, generator=generator)
    return [x.to(memory_format=torch.channels_last), weight.to(memory_format=torch.channels_last), bias]


@available
@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize(
    ("shape", "groups", "rows"),
    [
        ((3, 64, 8, 8), 32, 3),
        ((4, 64, 4, 4), 32, 1),
        ((1, 64, 32, 32), 32, 1),  # fewer images than threads: an image is split by groups
        ((2, 192, 32, 32), 32, 2),  # more than a core's cache: likewise
        ((2, 96, 5, 3), 32, None),
        ((2, 6, 4, 4), 2, 2),
        ((5, 7, 2, 3), 7, None),
        ((1, 4, 1, 1), 1, 1),
    ],
)
def test_equals_torch(shape: tuple[int, ...], groups: int, rows: int | None, silu: bool) -> None:
    given = inputs(shape, rows)
    results = []
    for dtype in (torch.float64, torch.float32):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in given]
        x, weight, bias, *scale_shift = leaves
        y = norm_silu(x, weight, bias, scale_shift[0] if rows else None, groups=groups, eps=1e-5, silu=silu)
        upstream = torch.linspace(-1, 1, y.numel(), dtype=dtype).reshape(y.shape)
        results.append([y, *torch.autograd.grad(y, leaves, upstream)])
        if dtype == torch.float32:
            assert "NormSilu" in type(y.grad_fn).__name__
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == torch.float32
        torch.testing.assert_close(
            actual.double(), expected, rtol=1e-5, atol=2e-5 * float(expected.detach().abs().max())
        )
    with torch.no_grad():
        again = norm_silu(*given[:3], given[3] if rows else None, groups=groups, eps=1e-5, silu=silu)
    assert torch.equal(again, results[1][0])


@available
def test_not_finite_stays_so() -> None:
    x, weight, bias = inputs((2, 32, 4, 4), None)
    x[1, 5, 2, 2] = float("nan")
    y = norm_silu(x, weight, bias, None, groups=8, eps=1e-5, silu=True)
    assert torch.isfinite(y[0]).all()
    assert torch.isnan(y[1, 4:8]).all()
    assert torch.isfinite(y[1, 8:]).all()
    large = norm_silu(x[:1], weight * 1e4, bias, None, groups=8, eps=1e-5, silu=True)
    assert torch.isfinite(large).all()


@available
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("batch", "channels", "height", "width"),
    [
        (2, (32, 64), 8, 8),
        (1, (64, 32), 4, 4),  # fewer blocks than threads: parts of the channels
        (1, (128, 160), 2, 2),
        (3, (96, 64), 7, 5),  # tiles that hang over the border
        (2, (32, 32), 1, 3),
        (1, (32, 32), 1, 1),
        (40, (64, 64), 16, 16),
        (2, (512, 256), 9, 16),  # the weights' gradient in several turns
    ],
)
def test_convolution_equals_torch(batch: int, channels: tuple[int, int], height: int, width: int, threads: int) -> None:
    given = convolution_inputs(batch, channels, height, width)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        y = conv3x3(*leaves, TransformedWeights())
        assert "Conv3x3" in type(y.grad_fn).__name__
        upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
        found = [y, *torch.autograd.grad(y, leaves, upstream)]
        with torch.no_grad():
            assert torch.equal(conv3x3(*given, TransformedWeights()), y)
    finally:
        torch.set_num_threads(before)
    exact = [tensor.double().requires_grad_() for tensor in given]
    y = torch.nn.functional.conv2d(*exact, padding=1)
    for actual, expected in zip(found, [y, *torch.autograd.grad(y, exact, upstream.double())], strict=True):
        largest = float(expected.detach().abs().max())
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-5 * largest)


@available
def test_convolution_without_bias_or_gradients_that_nobody_wants() -> None:
    x, weight, _ = convolution_inputs(2, (32, 32), 16, 16)
    kept = TransformedWeights()
    expected = torch.nn.functional.conv2d(x, weight, padding=1)
    torch.testing.assert_close(conv3x3(x, weight, None, kept), expected)
    y = conv3x3(x.requires_grad_(), weight, None, kept)
    (d_x,) = torch.autograd.grad(y.sum(), [x])
    (expected,) = torch.autograd.grad(torch.nn.functional.conv2d(x, weight, padding=1).sum(), [x])
    torch.testing.assert_close(d_x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("into", "out"), [(3, 64), (64, 6), (40, 64)])
def test_convolutions_that_the_kernels_do_not_do(into: int, out: int) -> None:
    given = convolution_inputs(2, (into, out), 8, 8)
    found = conv3x3(*given, TransformedWeights())
    assert torch.equal(found, torch.nn.functional.conv2d(*given, padding=1))
    contiguous = [tensor.contiguous() for tensor in given]
    found = conv3x3(*contiguous, TransformedWeights())
    assert torch.equal(found, torch.nn.functional.conv2d(*contiguous, padding=1))


@available
@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight.mul_(2),
        lambda weight: weight.data.mul_(2),  # as averages outside of this package do it: torch does not see it
        lambda weight: setattr(weight, "data", 2 * weight),
    ],
)
def test_changed_weights_are_transformed_anew(change: Callable[[Tensor], object]) -> None:
    x, weight, bias = convolution_inputs(2, (32, 32), 8, 8)
    kept = TransformedWeights()
    with torch.no_grad():
        before = conv3x3(x, weight, bias, kept)
        assert torch.equal(conv3x3(x, weight, bias, kept), before)
        change(weight)
        torch.testing.assert_close(
            conv3x3(x, weight, bias, kept) - bias[:, None, None],
            2 * (before - bias[:, None, None]),
            rtol=1e-4,
            atol=1e-5,
        )


@available
def test_kept_weights_are_neither_copied_nor_saved_nor_kept_while_learning() -> None:
    layer = convolution(2, 64, 64).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = convolution_inputs(2, (64, 64), 8, 8)[0]
    small = len(pickle.dumps(layer))
    with torch.no_grad():
        y = layer(x)
    assert layer._transformed._kept is not None
    assert len(pickle.dumps(layer)) == small
    assert list(layer.state_dict()) == ["weight", "bias"]
    twin = copy.deepcopy(layer)
    assert twin._transformed._kept is None
    with torch.no_grad():
        assert torch.equal(twin(x), y)
    layer(x)
    assert layer._transformed._kept is None
    with torch.inference_mode():
        assert torch.equal(copy.deepcopy(layer)(x), y)


@available
def test_not_of_torchs_default_kind(not_loaded: None) -> None:
    given = convolution_inputs(64, (32, 32), 8, 8)
    expected = torch.nn.functional.conv2d(*given, padding=1)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            y = conv3x3(*[tensor.requires_grad_() for tensor in given], TransformedWeights())
            y.sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    assert "Conv3x3" in type(y.grad_fn).__name__
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.float32 for tensor in given)


@available
def test_autocast_is_left_to_torch() -> None:
    layer = convolution(2, 64, 64).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert layer(convolution_inputs(2, (64, 64), 8, 8)[0]).dtype == torch.bfloat16


@available
def test_network_is_the_same_with_and_without() -> None:
    torch.manual_seed(0)
    network = UNet((8, 8), 1, 2, channels=32, attention_resolutions=(4,)).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([5, 50, 500])
    names = [name for name, _ in network.named_parameters()]

    def run() -> list[Tensor]:
        out = network(x, t)
        return [out, *torch.autograd.grad(out.square().mean(), list(network.parameters()))]

    ours = run()
    with disabled():
        theirs = run()
    for name, a, b in zip(["output", *names], ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-6, msg=lambda said, name=name: f"{name}: {said}")


def test_one_timestep_for_the_batch() -> None:
    torch.manual_seed(0)
    network = UNet((8, 8), 1, 2, channels=32, attention_resolutions=(4,), conditions=[Classes("abc")]).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        x, given = torch.randn(4, 1, 8, 8), {"classes": torch.tensor([0, 1, 2, 0])}
        torch.testing.assert_close(network(x, torch.tensor([7]), given), network(x, torch.full((4,), 7), given))


def test_without_a_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert unavailable() == "no C++ compiler is installed"
    x, weight, bias = inputs((2, 32, 4, 4), None)
    assert norm_silu(x, weight, bias, None, groups=8, eps=1e-5, silu=True).shape == x.shape
    assert not folder.exists()


@available
def test_a_compiler_that_fails(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cxx"
    broken.write_text("#!/bin/sh\necho 'x.cpp:1: error: out of luck' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CXX", str(broken))
    reason = unavailable()
    assert reason is not None
    assert "out of luck" in reason
    assert not list(folder.iterdir())


@pytest.mark.slow
@available
def test_built_once_and_again_when_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unavailable() is None
    (built,) = folder.glob("*.so")
    when = built.stat().st_mtime_ns
    library.load.cache_clear()
    assert unavailable() is None
    assert built.stat().st_mtime_ns == when
    whole = built.read_bytes()
    built.unlink()  # it may be mapped: what follows is another file
    built.write_bytes(whole[: len(whole) // 2])
    library.load.cache_clear()
    assert unavailable() is None
    assert len(built.read_bytes()) == len(whole)
    assert sorted(path.suffix for path in folder.iterdir()) == [".sha256", ".so"]


@available
@pytest.mark.parametrize("context", [torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.no_grad()])
def test_loaded_within_a_context(not_loaded: None, context: AbstractContextManager[object]) -> None:
    with context:
        assert unavailable() is None
        layer = convolution(2, 64, 64).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        layer(convolution_inputs(2, (64, 64), 8, 8)[0])


@pytest.mark.slow
@available
@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [(0, "1.0f + given[c]", "1.1f + given[c]"), (1, "= y0 - y1;", "= y0 + y1;"), (1, "m1 - m2 -", "m1 + m2 -")],
)
def test_wrong_numbers_are_not_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: int, right: str, wrong: str
) -> None:
    sources = list(build.SOURCES)
    text = sources[source].read_text()
    assert right in text
    sources[source] = tmp_path / "wrong.cpp"
    sources[source].write_text(text.replace(right, wrong))
    monkeypatch.setattr(build, "SOURCES", tuple(sources))
    assert unavailable() == "the compiler made kernels that give wrong numbers"


def test_a_cache_that_cannot_be_written(folder: Path) -> None:
    folder.parent.touch()
    assert "cannot be written to (Not a directory); IDDPM_CACHE names another place" in str(unavailable())
