"""What is made and measured is kept, and done once."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from iddpm.checkpoints.run import RunDirectory
from iddpm.experiments.experiment import JSON, Cell, Measure, Subject
from iddpm.experiments.store import Store, claimed
from iddpm.progress import Progress, Work, finish

done: list[str] = []


@dataclass(frozen=True)
class Thing(Subject):
    number: int

    def identity(self) -> JSON:
        return vars(self)

    def make(self, folder: Path) -> Work[None]:
        if not self.is_made(folder):
            yield Progress("making", 1, 1)
            done.append(f"made {self.number}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "made").touch()

    def is_made(self, folder: Path) -> bool:
        return (folder / "made").exists()

    def flops(self) -> int:
        return 0


@dataclass(frozen=True)
class Twice(Measure[Thing]):
    fails: bool = False

    def take(self, subject: Thing, folder: Path, shared: Path) -> Work[JSON]:
        yield Progress("measuring", 1, 1)
        if self.fails:
            raise KeyboardInterrupt
        done.append(f"measured {subject.number}")
        return {"twice": 2 * subject.number}


def cells(fails: bool = False) -> list[Cell]:
    return [Cell({"number": number}, Thing(number), (Twice("twice", fails=fails),)) for number in (1, 2)]


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    done.clear()
    store = Store(tmp_path)
    assert store.measured(cells()[0]) is None
    results = finish(store.work(cells()))
    assert results == finish(store.work(cells())) == store.all_measured(cells())
    assert done == ["made 1", "measured 1", "made 2", "measured 2"]
    assert [measured.results["twice"]["twice"] for measured in results] == [2, 4]
    assert [measured.labels for measured in results] == [{"number": 1}, {"number": 2}]


def test_an_interrupted_measurement_is_made_again_and_the_thing_is_not(tmp_path: Path) -> None:
    done.clear()
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(store.work(cells(fails=True)))
    finish(store.work(cells()))
    assert done.count("made 1") == 1
    assert done.count("measured 1") == 1


def test_other_settings_are_measured_anew(tmp_path: Path) -> None:
    assert Twice("a").key != Twice("a", fails=True).key
    assert Twice("a").key != Twice("b").key
    assert Thing(1).key != Thing(2).key


def test_a_cell_that_another_works_on_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done.clear()
    monkeypatch.setattr("time.sleep", lambda _: None)
    store = Store(tmp_path)
    with claimed(store.folder(Thing(1))) as ours, claimed(store.folder(Thing(1))) as theirs:
        assert ours
        assert not theirs
        work = store.work(cells())
        first, *_ = progresses = list(itertools.islice(work, 3))
        assert (first.what, first.done, first.total) == ("2: making 1/1", 0, 2)
        assert (progresses[-1].what, progresses[-1].done) == ("1: waiting for another process", 1)
    assert done == ["made 2", "measured 2"]
    finish(work)
    assert done == ["made 2", "measured 2", "made 1", "measured 1"]


def test_a_run_that_is_trained_by_itself_is_left_to_it(tmp_path: Path) -> None:
    """As on a cluster, by a command that --print-commands gave."""
    free = RunDirectory(tmp_path).lock()
    with claimed(tmp_path) as ours:
        assert not ours
    free()
    with claimed(tmp_path) as ours:
        assert ours
