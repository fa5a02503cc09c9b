"""What `iddpm steps` has found and drawn of a run, in its folder, so that an interrupted study goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iddpm.files import NOT_SUCH_ARRAYS, replacing, write_json

if TYPE_CHECKING:
    from iddpm.data.scaling import Levels
    from iddpm.few_steps.study import Setting, Study


class KeptStudy:
    """Rows in steps.json, where those of other studies stay beside, and the samples of the setting that is judged.

    After another plan only those rows are made anew that depend on it.
    """

    def __init__(self, run: Path, study: Study, precision: str, say: Callable[[str], None]) -> None:
        from iddpm.few_steps.plan import subject_of

        self._path, self._unfinished = run / "steps.json", run / "steps-unfinished"
        self._study = study
        self._plan = study.plan.hash
        subject = {
            **subject_of(study.model, clip=True),
            "features": study.network.manifest(),
            "reference": study.real.manifest["images"]["content"],
            "count": study.count,
            "items": len(study.held_out),
            "seed": study.seed,
            "precision": precision,
        }
        self._subject = json.loads(json.dumps(subject))
        self._rows: list[dict[str, Any]] = []
        self._others: list[dict[str, Any]] = []
        try:
            for known in json.loads(self._path.read_text())["studies"]:
                if known["subject"] == self._subject:
                    self._rows = [row for row in known["rows"] if row["plan"] in (None, self._plan)]
                    say(f"steps: going on after {len(self._rows)} settings of {self._path}")
                else:
                    self._others.append(known)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError):
            say(f"steps: {self._path} is damaged; beginning anew")

    def row(self, setting: Setting) -> dict[str, Any] | None:
        """The row of a setting, if it is done."""
        key = (setting.method, setting.stride, setting.evaluations)
        return next((row for row in self._rows if (row["method"], row["stride"], row["evaluations"]) == key), None)

    def add(self, setting: Setting, row: dict[str, Any]) -> None:
        """One more row, in the file too."""
        self._rows.append({**row, "plan": self._plan if self._study.uses_plan(setting) else None})
        write_json(self._path, {"studies": [*self._others, {"subject": self._subject, "rows": self._rows}]})
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def drawn(self, setting: Setting) -> list[Levels]:
        """Batches of samples of a setting that are not to be drawn again."""
        import numpy as np

        found: list[Levels] = []
        with suppress(*NOT_SUCH_ARRAYS):  # until one that is not there; or that is damaged, and drawn again
            while True:
                found.append(np.load(self._batch(setting, len(found)), mmap_mode="r", allow_pickle=False))
        return found

    def keep(self, setting: Setting, number: int, batch: Levels) -> None:
        """One more batch of the setting that is judged."""
        import numpy as np

        with replacing(self._batch(setting, number)) as beside, beside.open("wb") as file:
            np.save(file, batch)

    def _batch(self, setting: Setting, number: int) -> Path:
        plan = self._plan if self._study.uses_plan(setting) else None
        words = json.dumps([self._subject, vars(setting), plan, self._study.batch_size], sort_keys=True)
        return self._unfinished / hashlib.sha256(words.encode()).hexdigest()[:12] / f"{number}.npy"
