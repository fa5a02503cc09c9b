"""What an experiment is: cells, each a model and what is measured of it, and what is concluded of them all."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from iddpm.progress import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iddpm.experiments.scales import Scale

JSON = dict[str, Any]
Label = str | int | float


class Subject(ABC):
    """A model that is made once, in a folder of its own, and measured there."""

    @abstractmethod
    def identity(self) -> JSON:
        """All that decides what it becomes."""

    @abstractmethod
    def make(self, folder: Path) -> Generator[Progress, None, None]:
        """Make it, or go on where it was; nothing happens where it is made already."""

    @abstractmethod
    def is_made(self, folder: Path) -> bool: ...

    @abstractmethod
    def command(self, folder: Path) -> str | None:
        """A command line that makes it in `folder`; None where there is no such command."""

    @abstractmethod
    def flops(self) -> int:
        """Of all its training, counted operator by operator; 0 for one that was given."""

    @property
    def key(self) -> str:
        """The name of its folder."""
        return digest(self.identity())


@dataclass(frozen=True)
class Measure(ABC):
    """Something that is measured of a subject, and takes a while. Its fields are its settings.

    label: what the result is called in `Measured.found`.
    """

    label: str
    version: ClassVar[int] = 1
    """Raised when the same settings come to measure something else."""
    compares_features: ClassVar[bool] = False
    """Whether it needs the network whose features suit the data (`measures.check_features`)."""

    @abstractmethod
    def take(self, subject: Subject, folder: Path, shared: Path) -> Generator[Progress, None, JSON]:
        """The result. folder: the subject's; shared: a place for what is the same for all subjects."""

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
    measures: tuple[Measure, ...]

    def __str__(self) -> str:
        named = ("T", "seed")
        return ", ".join(f"{name} {value}" if name in named else str(value) for name, value in self.labels.items())


@dataclass(frozen=True)
class Measured:
    """A cell's labels and what was found, by the labels of measures.

    making, measuring: seconds that it took, on whatever machine.
    """

    labels: dict[str, Label]
    found: dict[str, JSON]
    making: float = 0.0
    measuring: float = 0.0


Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Finding:
    """Something that the paper says, and whether it is so here, with the number that says so."""

    claim: str
    verdict: Verdict
    statistic: str

    def __str__(self) -> str:
        return f"{self.claim}: {self.verdict} ({self.statistic})"


@dataclass(frozen=True)
class Table:
    """Rows of cells that are shown as they are."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """What an experiment ends in. notes: where it departs from the paper, in sentences."""

    tables: list[Table]
    findings: list[Finding]
    figure: Figure
    notes: list[str] = field(default_factory=list)


class Experiment(ABC):
    """One table or figure of the paper."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    """Where the paper has it."""

    @abstractmethod
    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        """The grid."""

    @abstractmethod
    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        """Of all cells, in the order of `cells`."""


def digest(values: object) -> str:
    """12 hexadecimal digits of a JSON value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
