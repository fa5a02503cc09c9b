"""The names that the configuration, flags and code share. No torch in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iddpm.registry import Registry, Row

_COMMANDS = "iddpm.cli.commands"
_MODEL, _RESUMABLE = {"loads_network": True}, {"resumable": True}
COMMANDS: Registry[Callable[[Sequence[str]], int]] = Registry(
    "command",
    "command",
    {
        "train": Row("train a model, or go on training one", f"{_COMMANDS}.train:run", _MODEL | _RESUMABLE),
        "sample": Row("draw samples: a grid, a folder of pictures, or an npz file", f"{_COMMANDS}.sample:run", _MODEL),
        "nll": Row("score data in bits/dim, term by term", f"{_COMMANDS}.nll:run", _MODEL),
        "plan": Row("choose the best few steps by the bound itself", f"{_COMMANDS}.plan:run", _MODEL | _RESUMABLE),
        "evaluate": Row(
            "judge samples: FD, precision, recall and more, with error bars", f"{_COMMANDS}.evaluate:run", _MODEL
        ),
        "reference": Row("store what evaluations need of a reference, once", f"{_COMMANDS}.reference:run"),
        "compare": Row("put evaluations side by side", f"{_COMMANDS}.compare:run"),
        "steps": Row(
            "judge quality against the number of steps, for every sampler",
            f"{_COMMANDS}.steps:run",
            _MODEL | _RESUMABLE,
        ),
        "reproduce": Row(
            "make one of the paper's tables or figures, from training to verdicts",
            f"{_COMMANDS}.reproduce:run",
            _MODEL | _RESUMABLE,
        ),
        "info": Row("describe a model, a configuration or a preset", f"{_COMMANDS}.info:run"),
        "report": Row("write one page about a run: samples, curves, bits/dim", f"{_COMMANDS}.report:run", _MODEL),
        "bench": Row("measure how fast this machine trains, samples and scores", f"{_COMMANDS}.bench:run", _MODEL),
    },
)
"""Members take the words after the command's name and return the exit code.

Fact `loads_network`: kernels are compiled while torch loads. Fact `resumable`: the same command again goes on.
"""
