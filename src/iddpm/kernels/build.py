"""The compilation of the kernels: a second, once on a machine, and kept for later processes.

It needs no torch, so that a command can begin with it before torch has loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from iddpm.files import cache_folder

SOURCES = tuple(Path(__file__).with_name(name) for name in ("norm_silu.cpp", "convolution.cpp"))
VARIABLE = "IDDPM_KERNELS"
"""Environment variable: "off" keeps to torch's operators."""
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-fopenmp")
NATIVE = ("-march=native", "-mprefer-vector-width=512")
BUILD_SECONDS = 60


class KernelsError(Exception):
    """The reason why the kernels cannot be used here, in a few words."""


_building = threading.Lock()


def begin() -> None:
    """Build in the background, if need be; a call of `built` waits for it."""

    def build() -> None:
        with contextlib.suppress(KernelsError):  # said when the kernels are needed
            built()

    if os.environ.get(VARIABLE, "") != "off":
        threading.Thread(target=build, name="kernels").start()


def built() -> Path:
    """Return the library's file, from the cache or from the compiler; KernelsError where neither has it."""
    with _building:
        return _built()


def _built() -> Path:
    """Build the library; see `built`.

    The file is written beside its place and moved there, so that a killed build leaves nothing. Its name holds a hash
    of all that it depends on, and a file beside it a hash of its content, so that a damaged one is built again.
    """
    compiler = next(filter(None, map(shutil.which, _compilers())), None)
    folder = cache_folder() / "kernels"
    depends_on = ([source.read_text() for source in SOURCES], FLAGS, NATIVE, _processor())
    name = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:20]
    path, checksum = folder / f"{name}.so", folder / f"{name}.sha256"
    if path.is_file() and checksum.is_file() and checksum.read_text() == _digest(path):
        return path
    if compiler is None:
        raise KernelsError("no C++ compiler is installed")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            made = _compiled(compiler, Path(beside))
            (Path(beside) / "sha256").write_text(_digest(made))
            (Path(beside) / "sha256").replace(checksum)
            made.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise KernelsError(f"{folder} cannot be written to ({reason}); IDDPM_CACHE names another place") from None
    return path


def _compilers() -> tuple[str, ...]:
    given = os.environ.get("CXX")
    return (given,) if given else ("c++", "g++", "clang++")


def _compiled(compiler: str, folder: Path) -> Path:
    """Compile all sources at once, and link without an OpenMP: the one that torch has loaded serves."""
    objects = [folder / f"{source.stem}.o" for source in SOURCES]
    library = folder / "kernels.so"
    _run(
        compiler,
        *([*FLAGS, *NATIVE, "-c", str(source), "-o", str(out)] for source, out in zip(SOURCES, objects, strict=True)),
    )
    _run(compiler, ["-shared", *map(str, objects), "-o", str(library)])
    return library


def _run(compiler: str, *commands: list[str]) -> None:
    """Run the compiler's commands, side by side; KernelsError with what the first that failed says."""
    running: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen([compiler, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            )
        outputs = [process.communicate(timeout=BUILD_SECONDS)[1] for process in running]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsError(f"{compiler} failed ({error})") from None
    finally:
        for process in running:
            process.kill()
            process.communicate()
    for process, errors in zip(running, outputs, strict=True):
        if process.returncode:
            lines = [line for line in errors.splitlines() if line.strip()]
            first = lines[0] if lines else f"code {process.returncode}"
            reason = next((line for line in lines if "error" in line), first)
            raise KernelsError(f"{compiler} failed ({reason.strip()[:200]})")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _processor() -> str:
    """Return what -march=native depends on: a home directory may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
