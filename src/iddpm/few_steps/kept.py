"""Unfinished plans and studies of few steps, in files, so that interrupted work goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import save_file

from iddpm.checkpoints.run import RunDirectory, unfinished
from iddpm.checkpoints.weights import read_tensors
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.few_steps.plan import subject_of
from iddpm.files import NOT_SUCH_ARRAYS, replacing, write_json

if TYPE_CHECKING:
    from iddpm.diffusion.planning import JumpStatistics
    from iddpm.few_steps.study import Setting, Study


class KeptSums:
    """The sums of a plan that is being made, in a file until the plan is whole.

    subject: all that they depend on (JSON); those of another subject are of no use. tell: given a line for a user.
    """

    def __init__(self, path: Path, subject: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self._path = path
        self._subject = json.dumps(subject, sort_keys=True)
        self._tell = tell

    def restore(self, statistics: JumpStatistics) -> None:
        """Give statistics the sums of the file, if it is there and of the same work."""
        if not self._path.is_file():
            return
        try:
            state, header = read_tensors(self._path)
        except UserError:
            self._tell(f"plan: {self._path} is damaged; beginning anew")
            return
        if header.get("subject") == self._subject:
            statistics.restore(state)
            self._tell(f"plan: going on after {statistics.count:,} item{'' if statistics.count == 1 else 's'}")
        else:
            self._tell(f"plan: {self._path} is of other work; beginning anew")

    def keep(self, statistics: JumpStatistics) -> None:
        """Write all sums, whole or not at all."""
        with replacing(self._path) as beside:
            save_file(statistics.state(), beside, {"subject": self._subject})

    def forget(self) -> None:
        """Remove the file: the plan is whole."""
        self._path.unlink(missing_ok=True)


class KeptStudy:
    """The rows of a study in a run's steps.json, beside other studies' rows, and the samples that are being judged.

    After another plan only those rows are made anew that depend on it. tell: given a line for a user.
    """

    def __init__(self, run: RunDirectory, study: Study, tell: Callable[[str], None]) -> None:
        self._path, self._unfinished = run.study, unfinished(run.study)
        self._study = study
        self._plan = study.plan.hash
        subject = {
            **subject_of(study.model, clip=True),
            "features": study.network.manifest(),
            "reference": study.real.manifest["images"]["content"],
            "count": study.count,
            "items": len(study.held_out),
            "seed": study.seed,
            "precision": study.model.precision,
        }
        self._subject = json.loads(json.dumps(subject))
        self._rows: list[dict[str, Any]] = []
        self._others: list[dict[str, Any]] = []
        try:
            for other in json.loads(self._path.read_text())["studies"]:
                if other["subject"] == self._subject:
                    self._rows = [row for row in other["rows"] if row["plan"] in (None, self._plan)]
                    tell(f"steps: going on after {len(self._rows)} settings of {self._path}")
                else:
                    self._others.append(other)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError):
            tell(f"steps: {self._path} is damaged; beginning anew")

    def row(self, setting: Setting) -> dict[str, Any] | None:
        """Return the row of a setting, if it is done."""
        key = (setting.method, setting.stride, setting.evaluations)
        return next((row for row in self._rows if (row["method"], row["stride"], row["evaluations"]) == key), None)

    def add(self, setting: Setting, row: dict[str, Any]) -> None:
        """Keep a row, in the file too, and forget the samples that it is from."""
        self._rows.append({**row, "plan": self._plan if self._study.uses_plan(setting) else None})
        write_json(self._path, {"studies": [*self._others, {"subject": self._subject, "rows": self._rows}]})
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def drawn(self, setting: Setting) -> list[Levels]:
        """Return the first batches of a setting's samples, which need not be drawn again."""
        batches: list[Levels] = []
        with suppress(*NOT_SUCH_ARRAYS):  # until one that is not there; or that is damaged, and drawn again
            while True:
                batches.append(np.load(self._batch(setting, len(batches)), mmap_mode="r", allow_pickle=False))
        return batches

    def keep(self, setting: Setting, number: int, batch: Levels) -> None:
        """Write one batch of the setting that is being judged."""
        with replacing(self._batch(setting, number)) as beside, beside.open("wb") as file:
            np.save(file, batch)

    def _batch(self, setting: Setting, number: int) -> Path:
        plan = self._plan if self._study.uses_plan(setting) else None
        words = json.dumps([self._subject, vars(setting), plan, self._study.batch_size], sort_keys=True)
        return self._unfinished / hashlib.sha256(words.encode()).hexdigest()[:12] / f"{number}.npy"
