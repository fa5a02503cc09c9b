"""metrics.jsonl: one JSON record a line, appended, and cut back to the checkpoint when a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iddpm.files import replacing
from iddpm.training.trainer import StepResult

QUARTILES = 4


class Records:
    """The records of a run, each a dict with at least "step"."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add one line, on disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """Return all whole records; a line that a crash cut short is not one."""
        if not self._path.exists():
            return []
        records = []
        for line in self._path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def cut_after(self, step: int) -> None:
        """Forget records of steps beyond `step`: they will be made again."""
        if not self._path.exists():
            return
        kept = [record for record in self.read() if record["step"] <= step]
        with replacing(self._path) as beside:
            beside.write_text("".join(json.dumps(record) + "\n" for record in kept))


class Window:
    """Means over the steps since the last record: losses, and unweighted losses by quarter of the chain."""

    def __init__(self, num_timesteps: int, device: torch.device | str = "cpu") -> None:
        self._num_timesteps = num_timesteps
        # Where the losses are, so that adding them does not wait for the device (one without float64 is waited for).
        self._device = torch.device(device) if torch.device(device).type == "cuda" else torch.device("cpu")
        self.clear()

    def clear(self) -> None:
        """Begin a new window."""
        # rows: total, simple, vlb; columns: each quarter of the chain, summed and counted.
        self._sums = torch.zeros(3, QUARTILES, dtype=torch.float64, device=self._device)
        self._counts = torch.zeros(3, QUARTILES, dtype=torch.float64, device=self._device)
        self._norms = torch.zeros(2, dtype=torch.float64, device=self._device)

    def add(self, result: StepResult) -> None:
        """Add a step."""
        quarter = result.t.to(self._device) * QUARTILES // self._num_timesteps
        for row, losses in enumerate((result.total, result.simple, result.vlb)):
            if losses is not None:
                summed = losses.to(self._device).double()
                self._sums[row].index_add_(0, quarter, summed)
                self._counts[row].index_add_(0, quarter, torch.ones_like(summed))
        self._norms[0] += result.gradient_norm.to(self._device)
        self._norms[1] += 1

    def means(self) -> dict[str, float]:
        """Return loss, simple, vlb (bits/dim, uniform over the steps drawn), simple_q0 ... vlb_q3 and gradient_norm."""
        named: dict[str, float] = {}
        for row, name in enumerate(("loss", "simple", "vlb")):
            if self._counts[row].sum():
                named[name] = float(self._sums[row].sum() / self._counts[row].sum())
        for row, name in ((1, "simple"), (2, "vlb")):
            for quarter in range(QUARTILES):
                if self._counts[row, quarter]:
                    named[f"{name}_q{quarter}"] = float(self._sums[row, quarter] / self._counts[row, quarter])
        named["gradient_norm"] = float(self._norms[0] / self._norms[1].clamp(min=1))
        return named

    def state_dict(self) -> dict[str, Tensor]:
        """Return what has been added since the last record."""
        named = {"sums": self._sums, "counts": self._counts, "norms": self._norms}
        return {name: tensor.clone().cpu() for name, tensor in named.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what `state_dict` returned."""
        self._sums.copy_(state["sums"])
        self._counts.copy_(state["counts"])
        self._norms.copy_(state["norms"])
