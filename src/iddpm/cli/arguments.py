"""From words on the command line to typed values, with mistakes as one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from iddpm.errors import UserError

Arguments = TypeVar("Arguments")


def not_default(arguments: Any) -> dict[str, Any]:
    """Those fields of a dataclass that a user has set to something else."""
    fields = {field.name: (getattr(arguments, field.name), field.default) for field in dataclasses.fields(arguments)}
    return {name: value for name, (value, default) in fields.items() if value != default}


def check_least(arguments: Any, **least: int) -> None:
    """UserError where one of these numbers is below the least that it may be. (None is no number.)"""
    for name, lowest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < lowest:
            what = "not be negative" if lowest == 0 else f"be at least {lowest}"
            raise UserError(f"{_flag(name)}: must {what}, got {value}")


def parse(
    kind: type[Arguments], words: Sequence[str], *, command: str, description: str, default: Arguments | None = None
) -> Arguments:
    """`words` as a `kind` (a dataclass or a pydantic model); its help for --help; UserError for a mistake."""
    start = tyro.MISSING_NONPROP if default is None else default
    prog = f"iddpm {command}"
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(kind, args=list(words), prog=prog, description=description, default=start)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
    # Once more on a screen so wide that the message is not wrapped, which would hide what it says.
    captured = io.StringIO()
    with contextlib.redirect_stderr(captured), contextlib.suppress(SystemExit), _columns(10_000):
        tyro.cli(kind, args=list(words), prog=prog, description=description, default=start)
    message = _after_a_switch(mistake(captured.getvalue()), words)
    raise UserError(f"{message}{'' if message.endswith('?') else ';'} see {prog} --help")


def _after_a_switch(message: str, words: Sequence[str]) -> str:
    """A value that a switch was given is told by the switch."""
    found = re.fullmatch(r"Unrecognized options: ([^-\s]\S*)", message)
    if found is None or words.count(found[1]) != 1:  # of several nobody knows which one it is
        return message
    before = words[max(0, words.index(found[1]) - 1)]
    return f"{before}: takes no value, got {found[1]}; leave it out" if before.startswith("--") else message


@contextlib.contextmanager
def _columns(width: int):  # type: ignore[no-untyped-def]
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def mistake(message: str) -> str:
    """The first mistake in a message of tyro's (a box of lines) or of pydantic's within it, as one line."""
    lines = [line.strip("│| ") for line in message.splitlines()[1:]]  # the first one is the box's title
    lines = [line for line in lines if line.strip("─╰╯+-")]
    first = lines[0] if lines else "the arguments cannot be read"
    found = re.search(
        r"Error parsing (\S+?): \d+ validation errors? for \w+ (.*?) \[type=\w+, input_value=(.*?), input_type",
        " ".join(lines),
    )
    if found:
        section, text, value = found.groups()
        rule = text.replace("Input should", "should").split("Value error, ")
        if len(rule) == 2:
            return rule[1]
        field, _, what = rule[0].partition(" ")
        place = field if section.startswith(("{", "-")) else f"{section}.{field}"
        return f"{_flag(place)}: {what[0].lower() + what[1:]}, got {value}"
    first = first.removeprefix("Error parsing ").removesuffix(".")
    first = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"needs a whole number, got \1", first)
    first = re.sub(r"could not convert string to float: (.*)", r"needs a number, got \1", first)
    for kind, what in (("INT", "a whole number"), ("FLOAT", "a number"), (r"{\[INT.*\]}", "whole numbers")):
        optional = rf"no type matching {{None}}\|{kind} could be instantiated from \[(.*)\]"
        first = re.sub(optional, rf"needs {what}, got \1", first)
    first = re.sub(r"Expected one of \((.*)\)", _choices, first)
    if first.startswith("Missing from"):
        return f"what is missing: {lines[1].split()[0]}"
    flags = next((re.findall(r"--[\w.-]+", line) for line in lines[1:] if line.startswith("--")), [])
    if not flags or "nrecognized" not in first:
        return first
    # A switch is suggested as both of its flags, on and off.
    alike = [flag for flag in flags if ("no-" in flag) == ("no-" in first)]
    return f"{first}; did you mean {(alike or flags)[0]}?"


def _choices(found: re.Match[str]) -> str:
    """What one may say, in one order; None is what is left out."""
    names = sorted(set(re.findall(r"'([^']*)'", found[1])) - {"None"})
    return f"Use one of {', '.join(names)}"


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")
