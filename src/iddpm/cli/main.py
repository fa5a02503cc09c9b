"""`iddpm`: finds the command, and turns errors into one line and an exit code. Heavy modules load with the command.

Exit codes: 0, 1 (training diverged), 2 (bad input), 130 (interrupted by Ctrl-C), 143 (terminated by SIGTERM).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from iddpm.errors import DivergedError, UserError
from iddpm.files import final_path
from iddpm.kernels import build
from iddpm.names import COMMANDS
from iddpm.registry import load_extensions

BAD_INPUT = 2
DIVERGED = 1
INTERRUPTED = 130
TERMINATED = 143
IMPORT_PATIENCE = 0.05
"""Seconds after which a signal that came during an import is looked at again."""

HELP = """usage: iddpm COMMAND ...

Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal 2021).

commands:
{commands}

  iddpm COMMAND --help   its arguments
  iddpm --version        the version

begin with:
  iddpm train digits --run runs/digits
  iddpm sample runs/digits --out digits.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0, 1, 2, 130 or 143."""
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, or an embedder's
            signal.signal(signal.SIGINT, _stop)
        load_extensions()
        return _run(words[0], words[1:])
    except UserError as error:
        return _fail(str(error), BAD_INPUT)
    except Terminated:
        return _fail(f"terminated; nothing half-written was left{_way_on(words[0])}", TERMINATED)
    except DivergedError as error:
        return _fail(str(error), DIVERGED)
    except KeyboardInterrupt:
        return _fail(f"interrupted; nothing half-written was left{_way_on(words[0])}", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a place that cannot be read or written to
        place = "a file" if error.filename is None else final_path(Path(os.fsdecode(error.filename)))
        return _fail(f"{place}: {error.strerror or error}; name a place that can be read and written", BAD_INPUT)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not loaded here
            raise
        way = "a smaller --training.microbatch-size (train) or --batch-size"
        return _fail(f"the device's memory is full; use {way}", BAD_INPUT)


def _run(command: str, words: list[str]) -> int:
    """Run a command with its words, or print the help or the version."""
    if command in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:<{width}}  {COMMANDS.about(name)}" for name in COMMANDS)
        print(HELP.format(commands=commands), end="")
        return 0
    if command == "--version":
        from iddpm import __version__

        print(__version__)
        return 0
    if command not in COMMANDS:
        raise UserError(f'"{command}" is no command; use one of {", ".join(COMMANDS)}')
    # Before torch loads: GNU OpenMP's threads spin long while they wait for one another, and beside another busy
    # program that all but stops them. Spinning less costs a tenth of the speed on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "40000")
    if COMMANDS.fact(command, "loads_network") and not {"-h", "--help"} & set(words):
        build.begin()  # while torch loads
    return COMMANDS[command](words)


class Terminated(BaseException):
    """SIGTERM: like Ctrl-C, so that whatever is half-written is removed on the way out."""


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise what a signal means, once no module is being imported: those in C make other errors of it, or abort."""
    if _is_importing(frame):
        again = threading.Timer(IMPORT_PATIENCE, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether an import that the command began is under way."""
    while frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _way_on(command: str) -> str:
    resumable = command in COMMANDS and COMMANDS.fact(command, "resumable")
    return "; the same command goes on" if resumable else ""


def _fail(message: str, code: int) -> int:
    print(f"iddpm: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
