"""The way a network is run on a device: precision, compilation, and settings of the process. None of it is the model's.

On a CPU most of the time is in our own kernels (`kernels`), and freed memory stays with the process. On a GPU
it is in torch's compiler, and matrix products may be rounded.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iddpm.errors import UserError
from iddpm.files import cache_folder
from iddpm.names import Compile, Precision

WORTH_COMPILING = 10_000
"""Calls of the network after which a minute of compiling has paid on a GPU."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_KEPT = 2**30


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep large pieces of memory that are freed, for the next tensor; False where there is no glibc.

    By default every large tensor is fresh from the kernel, page by page: an eighth of the time of a forward pass.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEPT)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" takes CUDA, then MPS, then the CPU. UserError if it is not available."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        if name.split(":")[0] not in ("cpu", "cuda", "mps"):
            raise RuntimeError("unknown kind of device")
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f'"{name}" is not available ({reason})', field="device", way="use auto, cpu, cuda or mps"
        ) from None
    return device


def chosen_precision(precision: Precision, device: torch.device, *, training: bool) -> Precision:
    """Return the precision, resolving "auto": bfloat16 to train on a GPU, tf32 for other work there, else float32.

    UserError for bfloat16 on a device that has none.
    """
    has_bfloat16 = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported())
    if precision == "bfloat16" and not has_bfloat16:
        raise UserError(f"precision: {device} does not compute in bfloat16; use float32 or tf32")
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if training and has_bfloat16 else "tf32"


def set_up(device: torch.device, precision: Precision) -> None:
    """Settings of the process for work on `device` in a precision that is not "auto"."""
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        rounds = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = rounds
        torch.backends.cudnn.allow_tf32 = rounds
        torch.backends.cudnn.benchmark = True  # shapes hardly change


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a network computes; its output is for the caller to make float32 again."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def is_worth_compiling(compile: Compile, device: torch.device, calls: int) -> bool:
    """Tell if torch's compiler is to be used for `calls` of a network.

    Not on a CPU unless it is asked for: there it takes up to a minute and a half, and training gains nothing by it
    (docs/decisions/023-compilation-and-bfloat16.md).
    """
    return compile == "on" or (compile == "auto" and device.type == "cuda" and calls >= WORTH_COMPILING)


def compile_network(network: nn.Module, tell: Callable[[str], None]) -> None:
    """Have a network compiled when it is first called, and go on without if that fails, after one line through `tell`.

    What is compiled is kept for later processes. State dicts and names are as before.
    """
    if not any(map(shutil.which, ("c++", "g++", "clang++"))) and not os.environ.get("CXX"):
        tell("compile: no C++ compiler is installed; going on without")
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_CompileCache.folder()))
    unfinished = _CompileCache(tell)
    with warnings.catch_warnings(action="ignore"):  # of the compiler, about itself
        compiled = torch.compile(network._call_impl, dynamic=False)
        torch._dynamo.config.recompile_limit = 32  # a network is called with few shapes, but with more than 8

    is_first = True

    def call(*inputs: Any, **named: Any) -> Any:
        nonlocal is_first
        try:
            if not is_first:
                return compiled(*inputs, **named)
            with warnings.catch_warnings(action="ignore"):
                out = compiled(*inputs, **named)
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            network._compiled_call_impl = None
            unfinished.done()
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            tell(f"compile: failed ({reason}); going on without")
            return network(*inputs, **named)
        unfinished.done()
        is_first = False
        return out

    network._compiled_call_impl = call


class _CompileCache:
    """A note beside what torch keeps of its compilations, for as long as one is under way.

    A process that was killed meanwhile leaves its note, and may leave half a library, which would crash whoever loads
    it: whoever finds the note of a dead process empties the cache.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        folder = self.folder()
        folder.mkdir(parents=True, exist_ok=True)
        for note in folder.glob("compiling-*"):
            if not _is_running(int(note.name.split("-")[1])):
                tell("compile: one was interrupted earlier; emptying the cache, and compiling anew")
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True, exist_ok=True)
                break
        self._note = folder / f"compiling-{os.getpid()}"
        self._note.touch()

    @staticmethod
    def folder() -> Path:
        return cache_folder() / "torch"

    def done(self) -> None:
        self._note.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
