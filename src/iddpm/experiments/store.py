"""A folder that keeps what experiments have made and measured, so that none of it is done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from iddpm.checkpoints.run import RunDirectory
from iddpm.errors import UserError
from iddpm.experiments.experiment import JSON, Cell, Measure, Measured, Subject
from iddpm.files import locked, write_json
from iddpm.progress import Progress, Work

MAKING = "making.json"
"""The seconds that making a subject took."""


class Store:
    """A folder with one for each subject, which holds it and what was measured of it, and a shared one.

    Several processes may work in it: each takes the cells that no other works on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, subject: Subject) -> Path:
        """Return where a subject lies, or will."""
        return self.root / subject.key

    def measured(self, cell: Cell) -> Measured | None:
        """Return the results of a cell; None before all of them are there."""
        results: dict[str, JSON] = {}
        for measure in cell.measures:
            result = self._read(cell.subject, measure)
            if result is None:
                return None
            results[measure.label] = result
        measuring = sum(float(result["seconds"]) for result in results.values())
        return Measured(cell.labels, results, self._seconds(cell.subject), measuring)

    def all_measured(self, cells: list[Cell]) -> list[Measured]:
        """Return the results of those cells that have them."""
        return [measured for cell in cells if (measured := self.measured(cell)) is not None]

    def work(self, cells: list[Cell]) -> Work[list[Measured]]:
        """Make and measure all cells, with other processes; return their results when all are there.

        Its progress counts cells, and says of the one that is worked on how far it is.
        """
        while left := [cell for cell in cells if self.measured(cell) is None]:
            done = len(cells) - len(left)
            for cell in left:
                with claimed(self.folder(cell.subject)) as is_ours:
                    if is_ours and self.measured(cell) is None:
                        with closing(self._do(cell)) as steps:
                            for step in steps:
                                yield Progress(f"{cell}: {step.what} {step.done}/{step.total}", done, len(cells))
                        break
            else:
                yield Progress(f"{left[0]}: waiting for another process", done, len(cells))
                time.sleep(1.0)
        return self.all_measured(cells)

    def _do(self, cell: Cell) -> Work[None]:
        folder = self.folder(cell.subject)
        if not cell.subject.is_made(folder):
            before, begun = self._seconds(cell.subject), time.monotonic()
            try:
                yield from cell.subject.make(folder)
            finally:  # an interruption, too, has taken its time
                write_json(folder / MAKING, {"seconds": round(before + time.monotonic() - begun, 1)})
        for measure in cell.measures:
            if self._read(cell.subject, measure) is None:
                begun = time.monotonic()
                result = yield from measure.take(cell.subject, folder, self.root / "shared")
                path = self._path(cell.subject, measure)
                write_json(path, {**result, "seconds": round(time.monotonic() - begun, 1)})

    def _seconds(self, subject: Subject) -> float:
        """Return the seconds spent making the subject so far."""
        try:
            return float(json.loads((self.folder(subject) / MAKING).read_text())["seconds"])
        except (OSError, ValueError, KeyError):
            return 0.0

    def _path(self, subject: Subject, measure: Measure[Any]) -> Path:
        return self.folder(subject) / "measures" / f"{measure.key}.json"

    def _read(self, subject: Subject, measure: Measure[Any]) -> JSON | None:
        try:
            result: JSON = json.loads(self._path(subject, measure).read_text())
        except (OSError, ValueError):
            return None
        return result


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Yield whether this process may work in `folder`: no other does until this ends, however it ends.

    (Always, if the system has no such locks.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        free = locked(RunDirectory(folder).claim, "")
    except UserError:
        yield False
        return
    try:
        yield not _is_trained_elsewhere(folder)
    finally:
        free()


def _is_trained_elsewhere(folder: Path) -> bool:
    """Return whether an `iddpm train` of its own works in `folder`, as on a cluster."""
    lock = RunDirectory(folder).training_lock
    if not lock.exists():
        return False
    try:
        locked(lock, "")()
    except UserError:
        return True
    return False
