"""Words on the command line as typed values, and mistakes as one line that names the command's own flags."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
from pydantic import BaseModel, ValidationError
from tyro import _errors as rejections
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

from iddpm.config import mistake
from iddpm.errors import Setting, UserError
from iddpm.registry import OneOf

Arguments = TypeVar("Arguments")
TYPES = ConstructorRegistry()
"""The ways to read fields of arguments that tyro does not have."""


@contextmanager
def parsed(
    kind: type[Arguments], words: Sequence[str], *, command: str, description: str, default: Arguments | None = None
) -> Iterator[Arguments]:
    """Yield `words` as a `kind`; a UserError from within is told with the command's flags in place of settings."""
    arguments = parse(kind, words, command=command, description=description, default=default)
    try:
        yield arguments
    except UserError as error:
        raise UserError(error.render(partial(_flag, flags(kind)))) from None


@contextmanager
def settings_as(fields: Mapping[str, str]) -> Iterator[None]:
    """Tell of other layers' settings, in a UserError from within, by this command's names: see `UserError.renamed`."""
    try:
        yield
    except UserError as error:
        raise error.renamed(fields) from None


def parse(
    kind: type[Arguments], words: Sequence[str], *, command: str, description: str, default: Arguments | None = None
) -> Arguments:
    """Return `words` as a `kind`, a dataclass or a pydantic model. UserError for a mistake; --help exits."""
    help_is_in = f"see iddpm {command} --help"
    try:
        with rejections.on_parse_error(partial(_reject, kind, words, help_is_in)):
            arguments = tyro.cli(
                kind,
                args=list(words),
                prog=f"iddpm {command}",
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                registry=TYPES,
            )
        return kind.model_validate(_plain(arguments)) if issubclass(kind, BaseModel) else arguments
    except ValidationError as error:
        raise UserError(mistake(error).render(partial(_flag, flags(kind))), way=help_is_in) from None


def flags(kind: Any, prefix: str = "") -> dict[str, str]:
    """Return the flag of every field ("training.steps": "--training.steps"); of a positional one, its metavar."""
    table: dict[str, str] = {}
    hints = get_type_hints(kind, include_extras=True)
    for name in _field_names(kind):
        hint, notes = _unwrapped(hints[name])
        own = next((note.name for note in notes if getattr(note, "name", None) is not None), name)
        if _is_struct(hint):
            table |= flags(hint, f"{prefix}{own}." if own else prefix)
        elif tyro.conf.Positional in notes:
            table[name] = next(note.metavar for note in notes if getattr(note, "metavar", None))
        else:
            table[prefix + name] = f"--{prefix}{own}".replace("_", "-")
    return table


def not_default(arguments: Any, kind: Any = None) -> dict[str, Any]:
    """Return those fields of a dataclass, or of its base `kind`, that a user has set to something else."""
    fields = dataclasses.fields(kind or arguments)
    values = {field.name: (getattr(arguments, field.name), field.default) for field in fields}
    return {name: value for name, (value, default) in values.items() if value != default}


def check_least(arguments: Any, **least: int) -> None:
    """Raise UserError if a field is below its minimum; None passes."""
    for name, lowest in least.items():
        value = getattr(arguments, name)
        if value is not None and value < lowest:
            rule = "must not be negative" if lowest == 0 else f"must be at least {lowest}"
            raise UserError(rule, field=name, value=value)


def _flag(table: Mapping[str, str], setting: Setting) -> str:
    """Return a setting as one writes it on the command line, if it is in the table of flags."""
    if setting.field not in table:
        return str(setting)
    flag, value = table[setting.field], setting.value
    if value is None or value is True:
        return flag
    if value is False:
        return _off(flag)
    return f"{flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"


def _off(flag: str) -> str:
    """Return the flag that turns a switch off: --no-clip, --training.no-decay."""
    section, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{section}{dot}no-{name}"


@TYPES.struct_rule
def _read_fields(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Read structs as tyro does, with our words for what is no number and the names of registries as choices.

    A pydantic model is built unchecked: `parse` validates all of it at once, and tells which field is wrong.
    """
    if not _is_struct(info.type) or info in _being_read:
        return None
    _being_read.append(info)
    try:
        spec = ConstructorRegistry.get_struct_spec(info)
    finally:
        _being_read.pop()
    if not isinstance(spec, StructConstructorSpec):
        return None
    order = [name for base in info.type.__mro__ for name in vars(base).get("__annotations__", ())]
    fields = sorted(spec.fields, key=lambda field: order.index(field.name))  # its own before those of its bases
    fields = [dataclasses.replace(field, type=_read(field.type)) for field in fields]
    return StructConstructorSpec(getattr(info.type, "model_construct", spec.instantiate), tuple(fields))


_being_read: list[StructTypeInfo] = []


def _read(hint: Any) -> Any:
    """Return a field's type with the rule by which its words are read."""
    plain, notes = _unwrapped(hint)
    if _is_struct(plain) or plain is bool:
        return hint
    named = _with_choices(hint)
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(named, set()))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return hint
    number = "whole number" if "INT" in spec.metavar else "number"
    needed = f"{number}s" if spec.nargs == "*" else f"a {number}"

    def read(words: list[str]) -> object:
        try:
            return spec.instance_from_str(words)
        except ValueError:
            raise ValueError(f"needs {needed}, got '{' '.join(words)}'") from None

    return Annotated[(named, *notes, dataclasses.replace(spec, instance_from_str=read))]


def _with_choices(hint: Any) -> Any:
    """Return a type with `Literal[the registry's names]` in place of every `Annotated[str, OneOf(registry)]`."""
    if get_origin(hint) is Annotated:
        plain, notes = _unwrapped(hint)
        names = next((note for note in notes if isinstance(note, OneOf)), None)
        return _with_choices(plain) if names is None else Literal[tuple(names)]
    parts = get_args(hint)
    if not parts or get_origin(hint) is Literal:
        return hint
    replaced = tuple(map(_with_choices, parts))
    return tuple[replaced] if get_origin(hint) is tuple else Union[replaced]  # type: ignore[valid-type]  # noqa: UP007


def _reject(kind: type, words: Sequence[str], help_is_in: str, event: rejections.ParseErrorEvent) -> NoReturn:
    """Raise UserError for what tyro refuses."""
    match event:
        case rejections.MissingArgs(missing_arguments=missing):
            raise UserError(f"what is missing: {missing[0].arg.get_invocation_text()[1]}", way=help_is_in)
        case rejections.InvalidChoice(argument=argument, value=value, choices=choices):
            names = ", ".join(sorted(name for name in choices if name != "None"))
            raise UserError(f'{_name(argument)}: "{value}" is not known; use one of {names}; {help_is_in}')
        case rejections.BadValue(argument=argument):
            raise UserError(f"{_name(argument)}: needs a value", way=help_is_in)
        case rejections.InstantiationFailure(argument=argument, message=message):
            raise UserError(message if argument is None else f"{_name(argument)}: {message}", way=help_is_in)
        case rejections.UnrecognizedArgs(tokens=tokens):
            raise UserError(_unrecognized(kind, words, tokens, help_is_in))
        case _:
            raise UserError("the arguments cannot be read", way=help_is_in)


def _name(argument: Any) -> str:
    return str(argument.lowered.metavar if argument.is_positional() else argument.display_name())


def _unrecognized(kind: type, words: Sequence[str], tokens: Sequence[str], help_is_in: str) -> str:
    """Return what to say of words that are no arguments: a switch's value by its switch, others with a flag alike."""
    word = tokens[0]
    if len(tokens) == 1 and words.count(word) == 1 and not word.startswith("-"):
        before = words[max(0, words.index(word) - 1)]
        if before.startswith("--"):
            return f"{before}: takes no value, got {word}; leave it out; {help_is_in}"
    names = [name for flag in flags(kind).values() for name in (flag, _off(flag))]
    alike = difflib.get_close_matches(word, [flag for flag in names if ("no-" in flag) == ("no-" in word)], 1)
    return f"Unrecognized options: {' '.join(tokens)}; " + (f"did you mean {alike[0]}?" if alike else help_is_in)


def _plain(value: Any) -> Any:
    """Return a pydantic model as a dict of its fields, unchecked ones too."""
    return {name: _plain(part) for name, part in vars(value).items()} if isinstance(value, BaseModel) else value


def _field_names(kind: Any) -> list[str]:
    return (
        list(kind.model_fields) if issubclass(kind, BaseModel) else [field.name for field in dataclasses.fields(kind)]
    )


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, BaseModel))


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its annotations, and these."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())
