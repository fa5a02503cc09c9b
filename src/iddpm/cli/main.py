"""`iddpm`: finds the command, and turns errors into one line and an exit code. Heavy modules load with the command."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from iddpm.errors import DivergedError, UserError
from iddpm.kernels import build

COMMANDS = {
    "train": "train a model, or go on training one",
    "sample": "draw samples: a grid, a folder of pictures, or an npz file",
    "nll": "score data in bits/dim, term by term",
    "plan": "choose the best few steps by the bound itself",
    "evaluate": "judge samples: FD, precision, recall and more, with error bars",
    "reference": "store what evaluations need of a reference, once",
    "compare": "evaluations side by side",
    "steps": "quality against the number of steps, for every sampler",
    "reproduce": "one of the paper's tables or figures, from training to verdicts",
    "info": "what a model, a configuration or a preset is",
    "report": "one page about a run: samples, curves, bits/dim",
    "bench": "how fast this machine trains, samples and scores",
}

WITH_NETWORKS = {"train", "sample", "nll", "plan", "evaluate", "steps", "reproduce", "report", "bench"}
GO_ON = {"train", "plan", "steps", "reproduce"}
"""What is interrupted need not be begun anew."""

BAD_INPUT = 2
DIVERGED = 1
INTERRUPTED = 130
TERMINATED = 143
IMPORTED_IN = 0.05
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
    """Run a command; the exit code is 0, 1 (training diverged), 2 (bad input) or 130 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {name:<9}  {about}" for name, about in COMMANDS.items())
        print(HELP.format(commands=commands), end="")
        return 0
    if given[0] == "--version":
        from iddpm import __version__

        print(__version__)
        return 0
    return _run(given)


def _run(given: list[str]) -> int:
    """The command, or the line that says why not."""
    try:
        if given[0] not in COMMANDS:
            raise UserError(f'"{given[0]}" is no command; use one of {", ".join(COMMANDS)}')
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, or an embedder's
            signal.signal(signal.SIGINT, _stop)
        # Before torch loads: GNU OpenMP's threads spin long while they wait for one another, and beside another busy
        # program that all but stops them. Spinning less costs a tenth of the speed on an idle machine.
        os.environ.setdefault("GOMP_SPINCOUNT", "40000")
        if given[0] in WITH_NETWORKS and not {"-h", "--help"} & set(given):
            build.begin()  # while torch loads
        command = importlib.import_module(f"iddpm.cli.commands.{given[0]}")
        code: int = command.run(given[1:])
        return code
    except UserError as error:
        return _fail(f"iddpm: {_flagged(str(error), given)}", BAD_INPUT)
    except Terminated:
        return _fail(f"iddpm: terminated; nothing half-written was left{_way_on(given[0])}", TERMINATED)
    except DivergedError as error:
        return _fail(f"iddpm: {error}", DIVERGED)
    except KeyboardInterrupt:
        return _fail(f"iddpm: interrupted; nothing half-written was left{_way_on(given[0])}", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a place that cannot be read or written to
        place = re.sub(r"\.([^/]+)\.\d+\.part$", r"\1", str(error.filename or "a file"))
        what = f"{place}: {error.strerror or error}"
        return _fail(f"iddpm: {what}; name a place that can be read and written", BAD_INPUT)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not loaded here
            raise
        way = "a smaller --training.microbatch-size (train) or --batch-size"
        return _fail(f"iddpm: the device's memory is full; use {way}", BAD_INPUT)


class Terminated(BaseException):
    """SIGTERM: like Ctrl-C, so that whatever is half-written is removed on the way out."""


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise what a signal means, once no module is being imported: those in C make other errors of it, or abort."""
    if _is_importing(frame):
        again = threading.Timer(IMPORTED_IN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _is_importing(frame: FrameType | None) -> bool:
    """Whether an import that the command began is under way."""
    while frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _flagged(message: str, words: Sequence[str]) -> str:
    """A message about a value by name, with dashes before the name where it was given as a flag."""
    name, colon, rest = message.partition(":")
    flag = f"--{name.replace('_', '-')}"
    is_given = any(word.partition("=")[0] == flag for word in words)
    is_trained_with = words[0] == "train" and re.fullmatch(r"(data|network|diffusion|objective|training)\.\w+", name)
    return f"{flag}{colon}{rest}" if is_given or is_trained_with else message


def _way_on(command: str) -> str:
    return "; the same command goes on" if command in GO_ON else ""


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
