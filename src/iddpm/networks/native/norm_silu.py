"""Group normalisation with what follows it, by the kernels where they apply and by torch's operators elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from iddpm.networks.native.library import Library, load

VARIABLE = "IDDPM_KERNELS"
"""Environment variable: "off" keeps to torch's operators."""
_is_off = os.environ.get(VARIABLE, "") == "off"


def norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, *, groups: int, eps: float, silu: bool
) -> Tensor:
    """SiLU(GroupNorm(x) (1 + scale) + shift), `[batch, channels, *size]` to the same; without SiLU if not `silu`.

    scale_shift: `[batch or 1, 2 channels]`, or None for neither.
    """
    library = _library_for(x, weight, bias, scale_shift)
    if library is None:
        return _by_torch(x, weight, bias, scale_shift, groups, eps, silu)
    if torch.is_grad_enabled():
        out: Tensor = _NormSilu.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, scale_shift, library, groups, eps, silu
        )
        return out
    return library.forward(x, weight, bias, scale_shift, groups, eps, silu)[0]


def unavailable() -> str | None:
    """Why the kernels are not used in this process, in a few words; None if they are. Builds them if need be."""
    if _is_off:
        return f"{VARIABLE}=off"
    loaded = load()
    return loaded if isinstance(loaded, str) else None


@contextmanager
def disabled() -> Iterator[None]:
    """Within it, torch's operators do it all."""
    global _is_off  # noqa: PLW0603
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def _library_for(x: Tensor, *others: Tensor | None) -> Library | None:
    """The kernels, where they can work on these tensors as they lie in memory."""
    if _is_off or x.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    if x.ndim != 4 or x.dtype != torch.float32 or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    if any(other is not None and not (other.dtype == torch.float32 and other.is_contiguous()) for other in others):
        return None
    loaded = load()
    return None if isinstance(loaded, str) else loaded


def _by_torch(
    x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, groups: int, eps: float, silu: bool
) -> Tensor:
    h = F.group_norm(x, groups, weight, bias, eps)
    if scale_shift is not None:
        scale, shift = scale_shift.reshape(*scale_shift.shape, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        h = torch.addcmul(shift, h, 1 + scale)
    return F.silu(h) if silu else h


class _NormSilu(torch.autograd.Function):
    """Keeps its input and two numbers a group for the backward pass: less than normalisation and SiLU do apart."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale_shift: Tensor | None,
        library: Library,
        groups: int,
        eps: float,
        silu: bool,
    ) -> Tensor:
        y, mean, rstd = library.forward(x, weight, bias, scale_shift, groups, eps, silu)
        ctx.save_for_backward(x, weight, bias, scale_shift, mean, rstd)
        ctx.library, ctx.silu = library, silu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, scale_shift, mean, rstd = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradients = ctx.library.backward(gradient, x, weight, bias, scale_shift, mean, rstd, ctx.silu)
        return (*gradients, None, None, None, None)
