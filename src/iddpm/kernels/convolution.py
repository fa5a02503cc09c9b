"""The 3x3 convolution, by the kernels where they apply and by torch's operators elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from iddpm.kernels.library import Library, library_for

FEW_TILES = 64
"""Number of 2x2 outputs: below it torch is faster at the gradient of the weights."""


class TransformedWeights:
    """A layer's weights as the kernels take them, kept while nothing is learned: a layer's own, never saved or copied.

    They are transformed anew when the weights have changed, even where torch did not notice (through `.data`).
    """

    def __init__(self) -> None:
        self._of: tuple[int, int, int] | None = None
        self._kept: Tensor | None = None

    def __reduce__(self) -> tuple[type[TransformedWeights], tuple[()]]:
        return TransformedWeights, ()

    def get(self, weight: Tensor, library: Library) -> Tensor:
        """Return the transformed weights of `weight`."""
        version = 0 if weight.is_inference() else weight._version
        of = (weight.data_ptr(), version, library.fingerprint(weight))
        if self._kept is None or of != self._of:
            self._of, self._kept = of, library.transformed_weights(weight)
        return self._kept

    def forget(self) -> None:
        """Free the memory."""
        self._of = self._kept = None


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None, transformed: TransformedWeights) -> Tensor:
    """Convolve `[batch, in, height, width]` to `[batch, out, height, width]`: stride 1, a border of zeros.

    weight: `[out, in, 3, 3]`; transformed: keeps what is made of it.
    """
    library = library_for(x)
    if library is None or not _suits(library, weight, bias):
        return F.conv2d(x, weight, bias, padding=1)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        transformed.forget()
        out: Tensor = _Conv3x3.apply(x, weight, bias, library)  # type: ignore[no-untyped-call]
        return out
    return library.conv3x3(x, transformed.get(weight, library), bias)


def _suits(library: Library, weight: Tensor, bias: Tensor | None) -> bool:
    if torch.is_autocast_enabled("cpu"):
        return False
    if weight.dtype != torch.float32 or not weight.is_contiguous(memory_format=torch.channels_last):
        return False
    if bias is not None and not (bias.dtype == torch.float32 and bias.is_contiguous()):
        return False
    return weight.shape[0] % library.granularity == 0 and weight.shape[1] % library.granularity == 0


class _Conv3x3(torch.autograd.Function):
    """The convolution that learns. Both passes transform the weights, which is little beside a training batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, library: Library) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.library = library
        return library.conv3x3(x, library.transformed_weights(weight), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        library: Library = ctx.library
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        d_x = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            d_x = library.conv3x3(gradient, library.transformed_weights(weight, mirrored=True), None)
        if ctx.needs_input_grad[1]:
            d_weight = _weight_gradient(library, x, gradient, weight)
        if ctx.needs_input_grad[2]:
            d_bias = gradient.sum((0, 2, 3))
        return d_x, d_weight, d_bias, None


def _weight_gradient(library: Library, x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    batch, _, height, width = x.shape
    if batch * (-(-height // 2)) * (-(-width // 2)) >= FEW_TILES:
        return library.conv3x3_weight_gradient(x, gradient)
    weight_gradient: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
    )[1]
    return weight_gradient
