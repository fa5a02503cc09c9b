"""Progress on stderr (a bar in a terminal, a line now and then elsewhere, with the time that is left), and stopping."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from iddpm.progress import Work, finish

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_NOTES = 0.25


class ProgressLine:
    """A bar or lines about how far some work is. `update` as often as you like; it prints now and then."""

    def __init__(self, what: str, count: int, done: int = 0) -> None:
        self._what = what
        self._count = count
        self._begun_at = done
        self._begun = self._printed = self._counted_at = time.monotonic()
        self._counted = done
        self._noted = 0.0
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
            times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[notes]}"))
            self._bar = Progress(
                *columns, *times, console=Console(stderr=True), refresh_per_second=4, speed_estimate_period=3600
            )
            self._task = self._bar.add_task(what, total=count, completed=done, notes="")

    def __enter__(self) -> ProgressLine:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, notes: Callable[[], str] = str) -> None:
        """Show that `done` of the count are done, with `notes` beside it, which are made only when they are shown."""
        now = time.monotonic()
        if done > self._counted:
            self._counted, self._counted_at = done, now
        if self._bar:
            if now - self._noted >= SECONDS_BETWEEN_NOTES or done == self._count:
                self._noted = now
                self._bar.update(self._task, notes=notes())
            self._bar.update(self._task, completed=done)
            return
        if now - self._printed >= SECONDS_BETWEEN_LINES or (done == self._count and self._printed > self._begun):
            self._printed = now
            print(
                f"{self._what}: {done}/{self._count}{self._left(now)}  {notes()}".rstrip(), file=sys.stderr, flush=True
            )

    def _left(self, now: float) -> str:
        """Return the time left at the pace until the count last rose: it falls while the next part is under way."""
        done = self._counted - self._begun_at
        if done == 0:  # nobody knows
            return ""
        pace = (self._counted_at - self._begun) / done
        to_do = self._count - self._counted
        seconds = max(pace * to_do - (now - self._counted_at), pace * max(0, to_do - 1))
        return f", {duration(seconds)} left" if seconds >= 1 else ""  # the last one takes longer than those before

    def note(self, notes: str) -> None:
        """Show that something else is being done; the count stays."""
        if self._bar:
            self._bar.update(self._task, notes=notes)
        elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"{self._what}: {notes}", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Print a line of its own."""
        if self._bar:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


class ProgressStages:
    """The progress of one piece of work after another, each named when it begins."""

    def __init__(self) -> None:
        self._stage: tuple[str, int] | None = None
        self._line: ProgressLine | None = None

    def __enter__(self) -> ProgressStages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._line is not None:
            self._line.__exit__(kind, error, at)

    def update(self, what: str, done: int, count: int) -> None:
        """Show that `done` of `count` are done of `what`; what stands after a colon is a note beside it."""
        what, _, note = what.partition(": ")
        if self._line is None or (what, count) != self._stage:
            self.__exit__(None, None, None)
            self._stage, self._line = (what, count), ProgressLine(what, count, done)
            self._line.__enter__()
        self._line.update(done, note.__str__)


def show(work: Work[T]) -> T:
    """Run work to its end with its progress on stderr, and return its result."""
    with ProgressStages() as stages:
        return finish(work, lambda progress: stages.update(progress.what, progress.done, progress.total))


def duration(seconds: float) -> str:
    """Return a time as people say it: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def counted(count: int, what: str) -> str:
    """Return a count as people say it: 1 item, 2,000 items."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


class StopSignal:
    """A context in which Ctrl-C or SIGTERM asks for an end at the next good moment; a second one ends at once.

    what: is done before the end. cost: what a second signal loses.
    """

    def __init__(self, what: str, cost: str = "") -> None:
        self.number = 0
        self._what, self._cost = what, cost

    def __enter__(self) -> StopSignal:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
        say(f"stopping: {self._what} (Ctrl-C again stops at once{self._cost})")

    def __call__(self) -> bool:
        return self.number != 0

    def obey(self) -> None:
        """Raise KeyboardInterrupt if there was a signal: for work that is between two steps."""
        if self.number:
            raise KeyboardInterrupt
