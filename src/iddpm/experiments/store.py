"""Where experiments keep what they have made and measured, so that none of it is done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from iddpm.checkpoints.run import RunDirectory
from iddpm.errors import UserError
from iddpm.experiments.experiment import JSON, Cell, Measure, Measured, Subject
from iddpm.files import locked, write_json
from iddpm.progress import Progress

MAKING = "making.json"
"""How long a subject took."""


class Store:
    """A folder with one for each subject, which holds it and what was measured of it, and a shared one.

    Several processes may work in it: each takes the cells that no other works on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, subject: Subject) -> Path:
        """Where a subject lies, or will."""
        return self.root / subject.key

    def measured(self, cell: Cell) -> Measured | None:
        """What was found of a cell; None before all of it was."""
        found = {measure.label: self._read(cell.subject, measure) for measure in cell.measures}
        known = {name: result for name, result in found.items() if result is not None}
        if len(known) < len(found):
            return None
        measuring = sum(float(result["seconds"]) for result in known.values())
        return Measured(cell.labels, known, self._seconds(cell.subject), measuring)

    def work(self, cells: list[Cell]) -> Generator[tuple[int, Cell, Progress | None], None, None]:
        """Make and measure all cells that are not done; ends when all are, whoever did them.

        Yields how many are done, the cell that is worked on, and how far it is (None: waiting for another process).
        """
        while left := [cell for cell in cells if self.measured(cell) is None]:
            worked = False
            for cell in left:
                with claimed(self.folder(cell.subject)) as is_ours:
                    if is_ours and self.measured(cell) is None:
                        worked = True
                        with closing(self._do(cell)) as steps:
                            for progress in steps:
                                yield len(cells) - len(left), cell, progress
                if worked:
                    break
            if not worked:
                yield len(cells) - len(left), left[0], None
                time.sleep(1.0)

    def _do(self, cell: Cell) -> Generator[Progress, None, None]:
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
        """That making it has taken so far."""
        try:
            return float(json.loads((self.folder(subject) / MAKING).read_text())["seconds"])
        except (OSError, ValueError, KeyError):
            return 0.0

    def _path(self, subject: Subject, measure: Measure) -> Path:
        return self.folder(subject) / "measures" / f"{measure.key}.json"

    def _read(self, subject: Subject, measure: Measure) -> JSON | None:
        try:
            result: JSON = json.loads(self._path(subject, measure).read_text())
        except (OSError, ValueError):
            return None
        return result


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process may work in `folder`: no other does until this ends, however it ends.

    (Where the system has no such locks, always.)
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
    """By an `iddpm train` of its own, as on a cluster."""
    lock = RunDirectory(folder).training_lock
    if not lock.exists():
        return False
    try:
        locked(lock, "")()
    except UserError:
        return True
    return False
