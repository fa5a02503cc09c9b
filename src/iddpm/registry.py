"""Members of a kind by name, such as samplers: a table whose rows load when they are first used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iddpm.errors import UserError

if TYPE_CHECKING:
    from pydantic_core import core_schema

T = TypeVar("T")
EXTENSIONS = "IDDPM_EXTENSIONS"
"""The environment variable that names modules or .py files to import before anything else, separated by commas."""


@dataclass(frozen=True)
class Row:
    """A member's row.

    about: one line for a reader. place: "module:name" of the member, imported when it is first used. facts: what others
    need to know of it without importing it.
    """

    about: str
    place: str
    facts: dict[str, Any] = field(default_factory=dict)


class Registry(Generic[T]):
    """Members of one kind by name, in the order of the table. Its names cost no import of the members.

    kind: what a member is, for messages ("sampler"). field: the setting that chooses one ("sampler").
    """

    def __init__(self, kind: str, field: str, rows: dict[str, Row]) -> None:
        self.kind = kind
        self.field = field
        self._rows = dict(rows)
        self._members: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> T:
        """Return the member; UserError naming the known ones for another name."""
        self.check(name)
        if name not in self._members:
            module, _, attribute = self._rows[name].place.partition(":")
            self._members[name] = getattr(importlib.import_module(module), attribute)
        return self._members[name]

    def check(self, name: str, field: str | None = None) -> str:
        """Return `name` if there is such a member; UserError naming those there are otherwise."""
        if name not in self._rows:
            raise UserError(
                f'"{name}" is not known', field=field or self.field, way=f"use one of {', '.join(self._rows)}"
            )
        return name

    def about(self, name: str) -> str:
        """Return one line about a member."""
        return self._rows[name].about

    def fact(self, name: str, fact: str, default: Any = None) -> Any:
        """Return what a member's row says of it."""
        return self._rows[name].facts.get(fact, default)

    def register(self, name: str, member: T, about: str = "", **facts: Any) -> T:
        """Add a member from anywhere: an extension does this when it is imported. Return it."""
        text = about or (getattr(member, "__doc__", None) or name).strip().splitlines()[0]
        self._rows[name] = Row(text, f"{getattr(member, '__module__', '')}:{name}", facts)
        self._members[name] = member
        return member

    def unregister(self, name: str) -> None:
        """Take a member out again."""
        del self._rows[name]
        self._members.pop(name, None)


@dataclass(frozen=True)
class OneOf:
    """An annotation of a `str` in a configuration or a command: it must be one of a registry's names, or of `also`."""

    registry: Registry[Any]
    also: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        yield from (*self.also, *self.registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        from pydantic_core import core_schema

        def check(name: str) -> str:
            if name not in self:
                raise ValueError(f'"{name}" is not known; use one of {", ".join(self)}')
            return name

        return core_schema.no_info_after_validator_function(check, handler(source))


def load_extensions() -> None:
    """Import what $IDDPM_EXTENSIONS names, so that its members are registered. UserError for one that is not there."""
    for name in filter(None, os.environ.get(EXTENSIONS, "").split(",")):
        try:
            if name.endswith(".py"):
                _import_file(Path(name))
            else:
                importlib.import_module(name)
        except (ImportError, OSError) as error:
            raise UserError(
                f"{name} cannot be imported ({error})", field=EXTENSIONS, way="name modules or .py files, with commas"
            ) from None


def _import_file(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(f"iddpm_extension_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("no Python file")
    if spec.name not in sys.modules:
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
