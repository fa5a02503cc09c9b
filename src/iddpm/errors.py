"""Mistakes of users, and training that diverged. A command renders the fields of a UserError as its own flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """A setting that a message names, with the value to give it: `data.size=32`; the command line says --data.size 32.

    value: None names the setting alone.
    """

    field: str
    value: object = None

    def __str__(self) -> str:
        return self.field if self.value is None else f"{self.field}={self.value}"


Text = str | Setting | Iterable[str | Setting]
"""A phrase of a message: words, and the settings that they are about."""
NOT_GIVEN = object()


class UserError(ValueError):
    """A mistake that the user can correct: what is wrong, the value, and the way out, in one line.

    what:  what is wrong ("must be at least 1"), without a full stop. It may be all there is.
    field: the name of the setting that is wrong, as in the configuration or the signature ("data.size", "steps").
    value: the value that was given, if `what` does not say it.
    way:   what to do about it ("use 1, 2 or 4").

    As text: "field: what, got value; way". The command line prints that line, with its own flags in place of fields
    and settings, and exits with code 2. A message names no flag: whoever calls from Python has none.
    """

    def __init__(self, what: Text, *, field: str | None = None, value: object = NOT_GIVEN, way: Text = ()) -> None:
        self.what = _parts(what)
        self.field = field
        self.value = value
        self.way = _parts(way)
        super().__init__(self.render())

    def render(self, flag: Callable[[Setting], str] = str) -> str:
        """Return the line, with every setting written as `flag` writes it."""
        subject = "" if self.field is None else f"{flag(Setting(self.field))}: "
        got = "" if self.value is NOT_GIVEN else f", got {self.value}"
        what, way = (
            "".join(flag(p) if isinstance(p, Setting) else p for p in parts) for parts in (self.what, self.way)
        )
        return f"{subject}{what}{got}{'; ' if way else ''}{way}"

    def renamed(self, fields: Mapping[str, str]) -> UserError:
        """Return the same mistake with settings under the names that a caller knows them by.

        fields: from names here to names there. "data.*" stands for every setting that begins with "data.".
        """

        def rename(parts: Iterable[str | Setting]) -> list[str | Setting]:
            return [Setting(_renamed(p.field, fields), p.value) if isinstance(p, Setting) else p for p in parts]

        field = None if self.field is None else _renamed(self.field, fields)
        return UserError(rename(self.what), field=field, value=self.value, way=rename(self.way))


def _parts(text: Text) -> tuple[str | Setting, ...]:
    return (text,) if isinstance(text, str | Setting) else tuple(text)


def _renamed(field: str, fields: Mapping[str, str]) -> str:
    section, _, name = field.partition(".")
    every = fields.get(f"{section}.*")
    return fields.get(field, field if every is None else every.replace("*", name))


class DivergedError(RuntimeError):
    """Training met a value that is not finite; the text is the diagnosis. The command line exits with code 1."""
