"""Documents made from the code: commands.md, configuration.md, and the blocks of code in docs/architecture.md.

.venv/bin/python docs/reference/generate.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from iddpm.config import Config
from iddpm.names import COMMANDS
from iddpm.presets import PRESETS
from iddpm.registry import OneOf

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent
MADE_BY = "<!-- Made by docs/reference/generate.py: change the code, and run it again. -->"
REQUIRED = object()


@dataclass(frozen=True)
class Argument:
    """A flag or a position of a command: how it is written, its type, its default and what it means."""

    words: str
    kind: str
    default: object
    about: str

    def row(self) -> str:
        """Return its row of a table."""
        default = "" if self.default in (REQUIRED, None, ()) else f"`{_text(self.default)}`"
        return f"| `{self.words}` | {self.kind} | {default} | {_cell(self.about)} |"


def arguments_of(kind: type) -> Iterator[Argument]:
    """Yield a command's arguments, positions first and groups in place, without the sections of the configuration."""
    members = sorted(_members(kind), key=lambda member: not member[4].get("positional", False))
    for name, annotation, default, about, facts in members:
        if issubclass(kind, Config) and name in Config.model_fields:
            continue
        group = _plain(annotation)
        if isinstance(group, type) and (dataclasses.is_dataclass(group) or issubclass(group, BaseModel)):
            yield from arguments_of(group)
            continue
        flag = f"--{facts.get('name', name)}".replace("_", "-")
        if facts.get("positional"):
            flag = facts.get("metavar") or name.upper()
        elif group is bool and default is not REQUIRED:
            flag = f"{flag}, --no-{flag[2:]}"
        yield Argument(flag, _kind(annotation), default, about)


def commands_page() -> str:
    """Return the page of all commands."""
    parts = ["# Commands", MADE_BY, "Every command has `--help`. Results go to stdout, progress to stderr."]
    for name in COMMANDS:
        module = sys.modules[COMMANDS[name].__module__]
        kind = module.arguments() if hasattr(module, "arguments") else getattr(module, f"{name.title()}Arguments")
        parts += [f"## iddpm {name}", _sentence(COMMANDS.about(name))]
        rows = [argument.row() for argument in arguments_of(kind)]
        parts.append("\n".join(["| argument | | default | |", "|---|---|---|---|", *rows]))
        if issubclass(kind, Config):
            parts.append(
                "It also takes every field of the [configuration](configuration.md), such as `--data.size 32`."
            )
    return "\n\n".join(parts) + "\n"


def configuration_page() -> str:
    """Return the page of the configuration's fields, and of the presets."""
    parts = [
        "# Configuration",
        MADE_BY,
        "The fields of a configuration, which are flags of `iddpm train`: `--data.size 32`. `iddpm info --preset digits"
        " --json` writes one as JSON, and `iddpm train FILE.json` reads it.",
    ]
    for section, field in Config.model_fields.items():
        kind = field.annotation
        assert kind is not None
        rows = [
            Argument(f"{section}.{name}", _kind(part), default, about).row()
            for name, part, default, about, _ in _members(kind)
        ]
        parts += [f"## {section}", _sentence(inspect.getdoc(kind) or "")]
        parts.append("\n".join(["| field | | default | |", "|---|---|---|---|", *rows]))
    presets = [f"| `{name}` | {_cell(preset.about)} |" for name, preset in PRESETS.items()]
    parts += ["## Presets", "\n".join(["| preset | |", "|---|---|", *presets])]
    return "\n\n".join(parts) + "\n"


def _members(kind: type) -> Iterator[tuple[str, Any, object, str, dict[str, Any]]]:
    """Yield the fields of a class: name, annotation, default, text, and what tyro was told of it."""
    hints = typing.get_type_hints(kind, include_extras=True)
    texts = _docstrings(kind)
    if issubclass(kind, BaseModel):
        defaults = {name: _default(field) for name, field in kind.model_fields.items()}
    else:
        defaults = {field.name: _default(field) for field in dataclasses.fields(kind)}
    order = [name for base in kind.__mro__ for name in vars(base).get("__annotations__", ())]
    for name, default in sorted(defaults.items(), key=lambda item: order.index(item[0])):
        facts = _facts(hints[name])
        yield name, hints[name], default, texts.get(name) or facts.get("help", ""), facts


def _default(field: Any) -> object:
    if isinstance(field, FieldInfo):
        return REQUIRED if field.default is PydanticUndefined else field.default
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def _docstrings(kind: type) -> dict[str, str]:
    """Return the strings below the fields of a class and its bases."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] != "iddpm":
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                texts[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return texts


def _facts(annotation: Any) -> dict[str, Any]:
    """Return the name, the metavar, the help and the position that tyro was told of."""
    facts: dict[str, Any] = {}
    for mark in _marks(annotation):
        if "Positional" in repr(mark):
            facts["positional"] = True
        facts |= {key: getattr(mark, key) for key in ("name", "metavar", "help") if getattr(mark, key, None)}
    return facts


def _marks(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "__metadata__"):
        yield from annotation.__metadata__
        yield from _marks(annotation.__origin__)


def _plain(annotation: Any) -> Any:
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    return annotation


def _kind(annotation: Any) -> str:
    """Return a type in words; the names of a registry or a Literal one by one."""
    names = [mark for mark in _marks(annotation) if isinstance(mark, OneOf)]
    if names:
        return ", ".join(f"`{name}`" for name in names[0])
    plain = _plain(annotation)
    origin, parts = get_origin(plain), get_args(plain)
    if origin in (typing.Union, UnionType):
        return " or ".join(_kind(part) for part in parts if part is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"{_kind(parts[0])} ..."
    return {int: "integer", float: "number", str: "text", bool: "switch"}.get(plain, str(plain))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def architecture_page() -> str:
    """Return the page on the architecture as it is, with its blocks of code as the files that they show."""

    def block(match: re.Match[str]) -> str:
        marker, file = match[1], ROOT / match[2]
        if not file.exists():
            return f"{marker}\n\n"
        if file.name == "pyproject.toml":
            layers = tomllib.loads(file.read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
            return "\n".join([marker, "```", *layers, "```", "\n"])
        return f"{marker}\n```python\n{file.read_text()}```\n\n"

    text = (DOCS / "architecture.md").read_text()
    return re.sub(r"(<!-- ([\w./]+) -->)\n(?:```\w*\n.*?```\n)?\n?", block, text, flags=re.DOTALL)


PAGES = {
    "reference/commands.md": commands_page,
    "reference/configuration.md": configuration_page,
    "architecture.md": architecture_page,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make())
        print(DOCS / page)
