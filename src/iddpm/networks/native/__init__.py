"""Kernels in C++ that take torch's place on a CPU where it is slow, built on the user's machine when first needed."""

from iddpm.networks.native.library import cache_folder
from iddpm.networks.native.norm_silu import disabled, norm_silu, unavailable

__all__ = ["cache_folder", "disabled", "norm_silu", "unavailable"]
