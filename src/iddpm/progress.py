"""Long work that says how far it is: generators that yield `Progress` and return their result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` parts of `what` are done ("sampling").

    A new `what` begins a new count, but for what stands after a colon, which is a note: "judging: 3 of 28".
    """

    what: str
    done: int
    total: int


Work = Generator[Progress, None, T]
"""Work that yields its progress as often as it likes and returns a T: use it with `yield from` or `finish`."""


def ignore(progress: Progress) -> None:
    """Show nothing."""


def finish(work: Work[T], show: Callable[[Progress], object] = ignore) -> T:
    """Run work to its end and return its result; `show` is given every progress."""
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        show(progress)


def ready(result: T) -> Work[T]:
    """Return work that has nothing left to do: its result is `result`."""
    yield from ()
    return result
