"""The kernels, loaded and checked, and the switch that turns them off."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from iddpm.kernels.build import VARIABLE, KernelsError, built

_is_off = os.environ.get(VARIABLE, "") == "off"
TOLERANCE = 1e-4


class Library:
    """The kernels. Tensors are float32 on the CPU with channels last; sizes are checked by the caller."""

    def __init__(self, path: Path) -> None:
        try:
            self._functions = functions = ctypes.CDLL(str(path))
        except OSError as error:
            raise KernelsError(f"{path} cannot be loaded ({error})") from None
        pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        for name, result, arguments in (
            ("norm_silu_forward", None, [*[pointer] * 4, count, *[pointer] * 3, *[count] * 4, number, count, count]),
            ("norm_silu_backward", None, [*[pointer] * 5, count, *[pointer] * 6, *[count] * 6]),
            ("conv3x3_granularity", count, []),
            ("conv3x3_fingerprint", count, [pointer, count]),
            ("conv3x3_weights", None, [*[pointer] * 2, *[count] * 4]),
            ("conv3x3_scratch", count, [count] * 6),
            ("conv3x3", None, [*[pointer] * 5, *[count] * 6]),
            ("conv3x3_weight_gradient_scratch", count, [count] * 5),
            ("conv3x3_weight_gradient", None, [*[pointer] * 4, *[count] * 6]),
        ):
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
        self.granularity: int = functions.conv3x3_granularity()

    def norm_silu(
        self, x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, groups: int, eps: float, silu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result, and mean and 1 / standard deviation `[batch, groups]` for `norm_silu_backward`."""
        batch = len(x)
        y = torch.empty_like(x)
        mean, rstd = x.new_empty(batch, groups), x.new_empty(batch, groups)
        self._functions.norm_silu_forward(
            _address(x),
            _address(weight),
            _address(bias),
            _address(scale_shift),
            _rows_apart(scale_shift),
            _address(y),
            _address(mean),
            _address(rstd),
            *_sizes(x, groups),
            eps,
            silu,
            torch.get_num_threads(),
        )
        return y, mean, rstd

    def norm_silu_backward(
        self,
        gradient: Tensor,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale_shift: Tensor | None,
        mean: Tensor,
        rstd: Tensor,
        silu: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return the gradients of x, weight, bias and, if there is one, scale_shift."""
        batch, channels = x.shape[:2]
        d_x = torch.empty_like(x)
        d_weight, d_bias = x.new_empty(batch, channels), x.new_empty(batch, channels)
        d_scale_shift = None if scale_shift is None else x.new_empty(batch, 2 * channels)
        self._functions.norm_silu_backward(
            _address(gradient),
            _address(x),
            _address(weight),
            _address(bias),
            _address(scale_shift),
            _rows_apart(scale_shift),
            _address(mean),
            _address(rstd),
            _address(d_x),
            _address(d_weight),
            _address(d_bias),
            _address(d_scale_shift),
            *_sizes(x, mean.shape[1]),
            silu,
            torch.get_num_threads(),
        )
        if d_scale_shift is not None and scale_shift is not None and len(scale_shift) == 1:
            d_scale_shift = d_scale_shift.sum(0, keepdim=True)
        return d_x, d_weight.sum(0), d_bias.sum(0), d_scale_shift

    def fingerprint(self, weight: Tensor) -> int:
        """Return a hash of a few numbers all over it: what training or loading changes, changes it."""
        fingerprint: int = self._functions.conv3x3_fingerprint(_address(weight), weight.numel())
        return fingerprint

    def transformed_weights(self, weight: Tensor, *, mirrored: bool = False) -> Tensor:
        """Return a 3x3 convolution's weights `[out, in, 3, 3]` as `conv3x3` takes them, 16/9 times as many.

        mirrored: for the gradient of the input, which is a convolution of the gradient of the output.
        """
        out, in_ = weight.shape[:2]
        if mirrored:
            out, in_ = in_, out
        transformed = weight.new_empty(16 * in_ * out)
        threads = torch.get_num_threads()
        self._functions.conv3x3_weights(_address(weight), _address(transformed), in_, out, mirrored, threads)
        return transformed

    def conv3x3(self, x: Tensor, transformed: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of `[batch, in, height, width]`, to `[batch, out, height, width]`."""
        batch, channels, height, width = x.shape
        out = len(transformed) // (16 * channels)
        y = _feature_map(x, batch, out, height, width)
        sizes = (batch, height, width, channels, out, torch.get_num_threads())
        scratch = x.new_empty(self._functions.conv3x3_scratch(*sizes))
        self._functions.conv3x3(
            _address(x), _address(transformed), _address(bias), _address(y), _address(scratch), *sizes
        )
        return y

    def conv3x3_weight_gradient(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient of the weights, of the convolution's input and of its output's gradient."""
        batch, channels, height, width = x.shape
        out = gradient.shape[1]
        d_weight = _feature_map(x, out, channels, 3, 3)
        sizes = (batch, height, width, channels, out)
        scratch = x.new_empty(self._functions.conv3x3_weight_gradient_scratch(*sizes))
        threads = torch.get_num_threads()
        self._functions.conv3x3_weight_gradient(
            _address(x), _address(gradient), _address(d_weight), _address(scratch), *sizes, threads
        )
        return d_weight


def _feature_map(like: Tensor, *shape: int) -> Tensor:
    """Return an empty tensor of the given one's kind, which need not be torch's default."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _rows_apart(scale_shift: Tensor | None) -> int:
    """Numbers from one row to the next: 0 where one row is for the whole batch."""
    return 0 if scale_shift is None or len(scale_shift) == 1 else scale_shift.shape[1]


def _sizes(x: Tensor, groups: int) -> tuple[int, int, int, int]:
    batch, channels, height, width = x.shape
    return batch, channels, height * width, groups


@cache
def load() -> Library | str:
    """Load the kernels, built first if they are not; where that cannot be, why not. Done once in a process."""
    try:
        library = Library(built())
        _check(library)
    except KernelsError as error:
        return str(error)
    return library


def unavailable() -> str | None:
    """Return why the kernels are not used in this process; None if they are. Builds them if need be."""
    if _is_off:
        return f"{VARIABLE}=off"
    loaded = load()
    return loaded if isinstance(loaded, str) else None


@contextmanager
def disabled() -> Iterator[None]:
    """Use torch's operators alone within the context."""
    global _is_off  # noqa: PLW0603
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def library_for(x: Tensor) -> Library | None:
    """Return the kernels, where they can work on this feature map as it lies in memory."""
    if _is_off or x.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    if x.ndim != 4 or x.dtype != torch.float32 or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    loaded = load()
    return None if isinstance(loaded, str) else loaded


def _check(library: Library) -> None:
    """Raise KernelsError if the kernels give other numbers than torch. It may be called in any of torch's contexts."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        for ours_and_gradients, expected in (_norm_silu_twice(library), _convolution_twice(library)):
            for ours, theirs in zip(ours_and_gradients, expected, strict=True):
                if not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
                    raise KernelsError("the compiler made kernels that give wrong numbers")


def _draw(*shape: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(sum(shape))
    drawn = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
    return drawn.to(memory_format=torch.channels_last) if drawn.ndim == 4 else drawn


def _norm_silu_twice(library: Library) -> tuple[list[Tensor], list[Tensor]]:
    """Return results and gradients, by the kernels and by torch."""
    x, weight, bias, scale_shift = _draw(2, 12, 3, 5), _draw(12), _draw(12), _draw(2, 24)
    with torch.enable_grad():
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weight, bias, scale_shift)]
        scale, shift = inputs[3][:, :, None, None].chunk(2, dim=1)
        normal = F.group_norm(inputs[0], 4, inputs[1], inputs[2], 1e-5)
        expected = F.silu(normal * (1 + scale) + shift)
        gradients = torch.autograd.grad(expected.square().sum(), inputs)
    y, mean, rstd = library.norm_silu(x, weight, bias, scale_shift, 4, 1e-5, True)
    backward = library.norm_silu_backward(2 * y, x, weight, bias, scale_shift, mean, rstd, True)
    return [y, *(gradient for gradient in backward if gradient is not None)], [expected, *gradients]


def _convolution_twice(library: Library) -> tuple[list[Tensor], list[Tensor]]:
    channels = library.granularity
    x, bias = _draw(2, 2 * channels, 5, 4), _draw(channels)
    weight = _draw(channels, 2 * channels, 3, 3) / (18 * channels) ** 0.5
    expected = F.conv2d(x, weight, bias, padding=1)
    d_x, d_weight, _ = torch.ops.aten.convolution_backward(
        expected, x, weight, [channels], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
    )
    y = library.conv3x3(x, library.transformed_weights(weight), bias)
    ours = [
        y,
        library.conv3x3(y, library.transformed_weights(weight, mirrored=True), None),
        library.conv3x3_weight_gradient(x, y),
    ]
    return ours, [expected, d_x, d_weight]
