"""Mistakes in words on the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from iddpm.cli.arguments import parse, parsed, settings_as
from iddpm.cli.main import main
from iddpm.config import NetworkConfig, Section
from iddpm.errors import Setting, UserError
from iddpm.names import COMMANDS
from iddpm.registry import OneOf, Registry, Row

MEANT = {
    "--no-training.decay": "--training.no-decay",
    "--training.no-decya": "--training.no-decay",
    "--training.decya": "--training.decay",
    "--learning-rate": "--training.learning-rate",
}


def test_a_switch_is_named_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--network.classes", "2"]) == 2
    assert "--network.classes: takes no value, got 2" in capsys.readouterr().err
    assert main(["train", "digits", "--training.seed", "2", "--network.classes", "2"]) == 2
    assert "Unrecognized options: 2" in capsys.readouterr().err


@pytest.mark.parametrize("typed", MEANT)
def test_a_flag_of_the_same_meaning_is_suggested(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", typed]) == 2
    assert f"Unrecognized options: {typed}; did you mean {MEANT[typed]}?" in capsys.readouterr().err


THINGS: Registry[object] = Registry("thing", "kind", {"wheel": Row("round", "nowhere:Wheel")})


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of a made-up command."""

    place: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="PLACE")]]
    """A place."""
    kind: Annotated[str, OneOf(THINGS)] = "wheel"
    """A kind."""
    others: tuple[Annotated[str, OneOf(THINGS)], ...] | None = None
    """Other kinds."""
    label: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """A class."""
    size: int | None = None
    """A size."""
    sizes: tuple[int, ...] = ()
    """Sizes."""
    share: float = 0.5
    """A share."""
    clip: bool = True
    """A switch."""


class ModelArguments(Section):
    """The same of a pydantic model."""

    inner: NetworkConfig = NetworkConfig()
    kind: Annotated[str, OneOf(THINGS)] | None = None
    """A kind."""


@pytest.fixture
def spring() -> Iterator[None]:
    THINGS.register("spring", object(), "elastic")
    yield
    THINGS.unregister("spring")


def read(*words: str) -> Arguments:
    return parse(Arguments, words, command="make", description="Make.")


def test_names_of_a_registry_are_a_flags_choices(spring: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert read("here", "--kind", "spring", "--others", "wheel", "spring").others == ("wheel", "spring")
    with pytest.raises(SystemExit):
        read("--help")
    assert "--kind {wheel,spring}" in capsys.readouterr().out
    model = parse(ModelArguments, ["--kind", "spring", "--inner.channels", "3"], command="make", description="")
    assert (model.kind, model.inner) == ("spring", NetworkConfig(channels=3))
    for kind in (Arguments, ModelArguments):
        with pytest.raises(UserError, match='^--kind: "rope" is not known; use one of spring, wheel; see iddpm make'):
            parse(kind, ["--kind", "rope", *(["here"] if kind is Arguments else [])], command="make", description="")


MISTAKES = {
    "PLACE": [],
    "--size: needs a whole number, got 'x'; see iddpm make --help": ["here", "--size", "x"],
    "--sizes: needs whole numbers, got '3 x'": ["here", "--sizes", "3", "x"],
    "--share: needs a number, got 'x'": ["here", "--share", "x"],
    "--share: needs a value": ["here", "--share"],
    '--others: "rope" is not known; use one of wheel': ["here", "--others", "rope"],
    "--clip: takes no value, got 3; leave it out": ["here", "--clip", "3"],
    "Unrecognized options: --sise 3; did you mean --size?": ["here", "--sise", "3"],
    "Unrecognized options: --no-clop; did you mean --no-clip?": ["here", "--no-clop"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_name_the_flag_and_the_value(message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        read(*MISTAKES[message])


def test_a_model_is_checked_as_a_whole() -> None:
    for words, message in {
        ("--inner.channels", "0"): "--inner.channels: should be greater than or equal to 1, got 0; see iddpm make",
        ("--inner.classes", "--inner.dropout", "1"): "--inner.dropout: should be less than 1, got 1.0",
    }.items():
        with pytest.raises(UserError, match=re.escape(message)):
            parse(ModelArguments, words, command="make", description="")


def test_settings_are_told_as_the_commands_flags() -> None:
    way = ("use ", Setting("data.size", 3), ", ", Setting("sizes", (1, 2)), ", ", Setting("clip", False), " or a ")
    mistake = UserError("is wrong", field="data.source", value=7, way=[*way, Setting("label")])
    with pytest.raises(UserError) as caught:
        with parsed(Arguments, ["here"], command="make", description=""):
            with settings_as({"data.source": "place", "data.*": "*"}):
                raise mistake
    assert str(caught.value) == "PLACE: is wrong, got 7; use --size 3, --sizes 1 2, --no-clip or a --class"
    assert str(mistake) == "data.source: is wrong, got 7; use data.size=3, sizes=(1, 2), clip=False or a label"


def test_a_command_from_outside_is_listed_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "from iddpm.names import COMMANDS",
        "from iddpm.errors import UserError",
        "def run(words):",
        "    if words:",
        "        raise UserError('needs no words', value=words[0])",
        "    print('hello')",
        "    return 0",
        "COMMANDS.register('hello', run, 'say hello')",
    ]
    (tmp_path / "greeting.py").write_text("\n".join(lines))
    monkeypatch.setenv("IDDPM_EXTENSIONS", str(tmp_path / "greeting.py"))
    try:
        assert main(["--help"]) == 0
        assert re.search("^  hello +say hello$", capsys.readouterr().out, re.MULTILINE)
        assert main(["hello"]) == 0
        assert capsys.readouterr().out == "hello\n"
        assert main(["hello", "you"]) == 2
        assert capsys.readouterr().err == "iddpm: needs no words, got you\n"
    finally:
        COMMANDS.unregister("hello")
        sys.modules.pop("iddpm_extension_greeting")
    monkeypatch.setenv("IDDPM_EXTENSIONS", "no_such_module")
    assert main(["--help"]) == 2
    assert "no_such_module cannot be imported" in capsys.readouterr().err
