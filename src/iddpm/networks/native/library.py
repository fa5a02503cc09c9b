"""Building, keeping and loading the kernels: half a second once on a machine, and never a reason not to run."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("norm_silu.cpp")
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-fopenmp")
NATIVE = ("-march=native", "-mprefer-vector-width=512")
BUILD_SECONDS = 60
TOLERANCE = 1e-4


class KernelsError(Exception):
    """Why the kernels cannot be used here, in a few words."""


class Library:
    """The kernels, loaded. Tensors are float32 on the CPU with channels last; sizes are checked by the caller."""

    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise KernelsError(f"{path} cannot be loaded ({error})") from None
        pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        forward, backward = self._library.norm_silu_forward, self._library.norm_silu_backward
        forward.restype = backward.restype = None
        forward.argtypes = [*[pointer] * 4, count, *[pointer] * 3, *[count] * 4, number, count, count]
        backward.argtypes = [*[pointer] * 5, count, *[pointer] * 6, *[count] * 6]

    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor, scale_shift: Tensor | None, groups: int, eps: float, silu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The result, and mean and 1 / standard deviation `[batch, groups]` for `backward`."""
        batch = len(x)
        y = torch.empty_like(x)
        mean, rstd = x.new_empty(batch, groups), x.new_empty(batch, groups)
        self._library.norm_silu_forward(
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

    def backward(
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
        """Gradients of x, weight, bias and, if there is one, scale_shift."""
        batch, channels = x.shape[:2]
        d_x = torch.empty_like(x)
        d_weight, d_bias = x.new_empty(batch, channels), x.new_empty(batch, channels)
        d_scale_shift = None if scale_shift is None else x.new_empty(batch, 2 * channels)
        self._library.norm_silu_backward(
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
    """The kernels, built first if they are not; where that cannot be, why not. Done once in a process."""
    try:
        library = Library(_built())
        _check(library)
    except KernelsError as error:
        return str(error)
    return library


def _built() -> Path:
    """The library's file, from the cache or from the compiler.

    It is written beside its place and moved there, so a build that was killed leaves nothing; its name holds a hash of
    all that it depends on, and a file beside it one of its content, so a damaged one is built again.
    """
    compiler = next(filter(None, map(shutil.which, _compilers())), None)
    folder = cache_folder()
    name = hashlib.sha256(repr((SOURCE.read_text(), FLAGS, NATIVE, _processor())).encode()).hexdigest()[:20]
    path, checksum = folder / f"{name}.so", folder / f"{name}.sha256"
    if path.is_file() and checksum.is_file() and checksum.read_text() == _digest(path):
        return path
    if compiler is None:
        raise KernelsError("no C++ compiler is installed")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            built = Path(beside) / "kernels.so"
            _compile(compiler, built)
            (Path(beside) / "sha256").write_text(_digest(built))
            (Path(beside) / "sha256").replace(checksum)
            built.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise KernelsError(f"{folder} cannot be written to ({reason}); XDG_CACHE_HOME names another place") from None
    return path


def cache_folder() -> Path:
    """Where built kernels are kept: `iddpm` in $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "iddpm"


def _compilers() -> tuple[str, ...]:
    given = os.environ.get("CXX")
    return (given,) if given else ("c++", "g++", "clang++")


def _compile(compiler: str, out: Path) -> None:
    """Compile, and link without an OpenMP: the one that torch has loaded is found when the library is."""
    object_file = out.with_suffix(".o")
    for command in (
        [compiler, *FLAGS, *NATIVE, "-c", str(SOURCE), "-o", str(object_file)],
        [compiler, "-shared", str(object_file), "-o", str(out)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelsError(f"{compiler} failed ({error})") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            said = next((line for line in lines if "error" in line), lines[0] if lines else f"code {done.returncode}")
            raise KernelsError(f"{compiler} failed ({said.strip()[:200]})")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _processor() -> str:
    """What -march=native depends on: a home directory may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())


@torch.no_grad()
def _check(library: Library) -> None:
    """Kernels that give other numbers than torch are not used."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x = draw(2, 12, 3, 5).to(memory_format=torch.channels_last)
    weight, bias, scale_shift = draw(12), draw(12), draw(2, 24)
    with torch.enable_grad():
        inputs = [tensor.clone().requires_grad_() for tensor in (x, weight, bias, scale_shift)]
        scale, shift = inputs[3][:, :, None, None].chunk(2, dim=1)
        normal = torch.nn.functional.group_norm(inputs[0], 4, inputs[1], inputs[2], 1e-5)
        expected = torch.nn.functional.silu(normal * (1 + scale) + shift)
        gradients = torch.autograd.grad(expected.square().sum(), inputs)
    y, mean, rstd = library.forward(x, weight, bias, scale_shift, 4, 1e-5, True)
    found = library.backward(2 * y, x, weight, bias, scale_shift, mean, rstd, True)
    for ours, theirs in zip((y, *found), (expected, *gradients), strict=True):
        if ours is None or not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
            raise KernelsError("the compiler made kernels that give wrong numbers")
