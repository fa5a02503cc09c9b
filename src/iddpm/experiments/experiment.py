"""The parts of an experiment: cells, each a model and what is measured of it, and what all of them say together."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from iddpm.progress import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iddpm.experiments.scales import Scale

JSON = dict[str, Any]
Label = str | int | float


class Subject(ABC):
    """A model that is made once, in a folder of its own, and measured there."""

    @abstractmethod
    def identity(self) -> JSON:
        """Return all that decides what it becomes."""

    @abstractmethod
    def make(self, folder: Path) -> Work[None]:
        """Make it, or go on where it was."""

    @abstractmethod
    def is_made(self, folder: Path) -> bool:
        """Return whether there is nothing left to make."""

    @abstractmethod
    def flops(self) -> int:
        """Return the cost of all its training, counted operator by operator; 0 for a model that was given."""

    @property
    def key(self) -> str:
        """The name of its folder."""
        return digest(self.identity())


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True)
class Measure(ABC, Generic[S]):
    """Something that is measured of a subject. Its fields are its settings.

    label: the name of the result in `Measured.results`.
    """

    label: str
    version: ClassVar[int] = 1
    """Version; raise it when the same settings come to measure something else."""
    compares_features: ClassVar[bool] = False
    """Set if it needs the network whose features suit the data (`measures.check_features`)."""

    @abstractmethod
    def take(self, subject: S, folder: Path, shared: Path) -> Work[JSON]:
        """Measure the subject in its folder. shared: a folder for what is the same for all subjects."""

    @property
    def key(self) -> str:
        """The name of its file."""
        name = re.sub(r"\W+", "-", self.label)
        return f"{name}-{digest([type(self).__name__, self.version, asdict(self)])}"


@dataclass(frozen=True)
class Cell:
    """A subject with its place in the grid ("schedule": "cosine", "seed": 0), and what is measured of it."""

    labels: dict[str, Label]
    subject: Subject
    measures: tuple[Measure[Any], ...]

    def __str__(self) -> str:
        shown = ("T", "seed")
        return ", ".join(f"{name} {value}" if name in shown else str(value) for name, value in self.labels.items())


@dataclass(frozen=True)
class Measured:
    """A cell's labels and its results, by the labels of measures.

    making, measuring: seconds that it took, on whatever machine.
    """

    labels: dict[str, Label]
    results: dict[str, JSON]
    making: float = 0.0
    measuring: float = 0.0


def over_seeds(measured: Sequence[Measured], *path: str, **labels: Label) -> list[Any]:
    """Return what stands at `path` in the results of the cells with these labels, seed by seed."""
    return [reduce(getitem, path, cell.results) for cell in measured if labels.items() <= cell.labels.items()]


Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Finding:
    """A claim, whether it holds here, and the number that says so."""

    claim: str
    verdict: Verdict
    statistic: str

    def __str__(self) -> str:
        return f"{self.claim}: {self.verdict} ({self.statistic})"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an experiment. notes: sentences on where it departs from the paper."""

    tables: list[Table]
    findings: list[Finding]
    figure: Figure
    notes: list[str] = field(default_factory=list)


class Experiment(ABC):
    """A table or a figure: models that are made and measured, and what that says of the paper's claims.

    To add one, write a subclass in a file of its own and give it a row in `iddpm.names.EXPERIMENTS` (or call
    `EXPERIMENTS.register(name, subclass, about)` from anywhere). `iddpm reproduce NAME` then makes its cells, several
    at once, goes on after an interruption, and writes its page. `paper/schedules.py` is a short one.

    title: the heading of its page. paper: where the paper has it ("Figures 3 to 5").
    """

    title: ClassVar[str]
    paper: ClassVar[str]

    @abstractmethod
    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        """Return the grid: a cell for every setting and seed. Cells of one subject share it, in all experiments.

        The scale has a configuration to start from, which `scales.varied` changes, and the sizes of measurements.
        """

    @abstractmethod
    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        """Return tables, verdicts and a figure of the results of all cells, in the order of `cells`.

        Verdicts of `verdicts.lower` and `higher` compare results seed by seed.
        """


def digest(values: object) -> str:
    """Return 12 hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
