"""Kernels in C++ that take torch's place on a CPU where it is slow, built on the user's machine when first needed."""

from iddpm.kernel_build import cache_folder
from iddpm.networks.native.convolution import TransformedWeights, conv3x3
from iddpm.networks.native.library import disabled, unavailable
from iddpm.networks.native.norm_silu import norm_silu

__all__ = ["TransformedWeights", "cache_folder", "conv3x3", "disabled", "norm_silu", "unavailable"]
