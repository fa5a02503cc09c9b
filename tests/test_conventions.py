"""The conventions that a machine can check: how docstrings begin, what messages name, one protocol of long work."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "iddpm"
FILES = sorted(SOURCE.rglob("*.py"))
DANGLING = tuple("Of Whether Where That In On For From With By To At Into As What Which How".split())  # noqa: SIM905
"""Words that begin a fragment without a subject."""
NOUNS = ["found", "each", "known", "told", "asked"]
"""Names that do not say what they hold."""
LONGEST_FILE, LONGEST_FUNCTION = 350, 60
USES_RE = {"checkpoints/formats/openai.py": "names of tensors", "experiments/experiment.py": "a name of a file"}
"""Files that may use regular expressions, and on what."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def named(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield (place, docstring) for modules, classes and functions, and for attributes and constants."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if text := ast.get_docstring(node):
                    yield f"{named(path)}:{getattr(node, 'lineno', 1)}", text
                for before, after in zip(node.body, node.body[1:], strict=False):
                    is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    if (
                        is_text
                        and isinstance(before, ast.Assign | ast.AnnAssign)
                        and isinstance(after.value.value, str)
                    ):
                        yield f"{named(path)}:{after.lineno}", after.value.value


def test_no_docstring_begins_without_a_subject() -> None:
    wrong = [f"{place}: {text.split(chr(10))[0]}" for place, text in docstrings() if text.split()[0] in DANGLING]
    assert not wrong, "\n".join(wrong)


def test_functions_docstrings_begin_with_a_verb_and_end_with_a_full_stop() -> None:
    wrong = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                is_value = any(
                    getattr(d, "id", getattr(d, "attr", "")) in ("property", "cached_property")
                    for d in node.decorator_list
                )
                first = text.split()[0]
                begins_well = first[:1].isupper() and first not in ("The", "A", "An", "All", "Its", "Their", "See")
                ends_well = text.split("\n\n")[0].rstrip().endswith((".", ":", "?"))
                if not ends_well or not (begins_well or is_value):
                    wrong.append(f"{named(path)}:{node.lineno} {node.name}: {text.splitlines()[0]}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong)


def test_names_say_what_they_hold() -> None:
    wrong = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NOUNS:
                wrong.append(f"{named(path)}:{node.lineno} {node.id}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", [path for path in FILES if "cli" not in path.parts], ids=named)
def test_no_message_below_the_command_line_names_a_flag(path: Path) -> None:
    module = tree(path)
    documents = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            assert not re.search(r"(^|[\s(`'\";,\[])--[a-z]", node.value), f"{named(path)}:{node.lineno}: {node.value}"


def test_regular_expressions_are_for_no_message() -> None:
    users = [named(path) for path in FILES if re.search(r"^\s*(import re\b|from re import)", path.read_text(), re.M)]
    assert set(users) <= set(USES_RE), users


def test_long_work_has_one_protocol() -> None:
    for path in FILES:
        text = path.read_text()
        assert "ends with" not in text or "AssertionError" not in text, named(path)
        classes = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        assert "Progress" not in classes or path.name == "progress.py", named(path)


def test_files_and_functions_are_short() -> None:
    wrong = [named(path) for path in FILES if len(path.read_text().splitlines()) > LONGEST_FILE]
    for path in FILES:
        for node in ast.walk(tree(path)):
            if (
                isinstance(node, ast.FunctionDef)
                and node.end_lineno
                and node.end_lineno - node.lineno >= LONGEST_FUNCTION
            ):
                wrong.append(f"{named(path)}:{node.lineno} {node.name}")
    assert not wrong, "\n".join(wrong)
