"""Group normalisation with what follows it, by the kernels where they apply and by torch's operators elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from iddpm.kernels.library import Library, library_for


def norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, *, groups: int, eps: float, silu: bool
) -> Tensor:
    """Return SiLU(GroupNorm(x) (1 + scale) + shift) of `[batch, channels, *size]`; without SiLU if not `silu`.

    scale_shift: `[batch or 1, 2 channels]`, or None for neither.
    """
    library = library_for(x)
    if library is None or not all(map(_suits, (weight, bias, scale_shift))):
        return _by_torch(x, weight, bias, scale_shift, groups, eps, silu)
    if torch.is_grad_enabled():
        out: Tensor = _NormSilu.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, scale_shift, library, groups, eps, silu
        )
        return out
    return library.norm_silu(x, weight, bias, scale_shift, groups, eps, silu)[0]


def _suits(vector: Tensor | None) -> bool:
    return vector is None or (vector.dtype == torch.float32 and vector.is_contiguous())


def _by_torch(
    x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, groups: int, eps: float, silu: bool
) -> Tensor:
    h = F.group_norm(x, groups, weight, bias, eps)
    if scale_shift is not None:
        scale, shift = scale_shift.reshape(*scale_shift.shape, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        h = torch.addcmul(shift, h, 1 + scale)
    return F.silu(h) if silu else h


class _NormSilu(torch.autograd.Function):
    """Normalisation and SiLU that keep the input and two numbers a group: less than they keep apart."""

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
        y, mean, rstd = library.norm_silu(x, weight, bias, scale_shift, groups, eps, silu)
        ctx.save_for_backward(x, weight, bias, scale_shift, mean, rstd)
        ctx.library, ctx.silu = library, silu
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, scale_shift, mean, rstd = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        gradients = ctx.library.norm_silu_backward(gradient, x, weight, bias, scale_shift, mean, rstd, ctx.silu)
        return (*gradients, None, None, None, None)
