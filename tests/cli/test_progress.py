from __future__ import annotations

import sys

import pytest

from iddpm.cli import progress
from iddpm.cli.progress import ProgressLine, ProgressStages, counted, duration


def test_durations_are_as_people_say_them() -> None:
    said = [duration(seconds) for seconds in (0.4, 59, 61, 3599, 3600, 7500, 90_000)]
    assert said == ["0 s", "59 s", "1 min 1 s", "59 min 59 s", "1 h 0 min", "2 h 5 min", "1 d 1 h"]


def test_counts_are_as_people_say_them() -> None:
    assert [counted(count, "item") for count in (0, 1, 2, 1696)] == ["0 items", "1 item", "2 items", "1,696 items"]


def test_lines_come_now_and_then_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressLine("training", 100, 20) as line:
        for done in range(21, 101):
            clock[0] += 1
            line.update(done, lambda: "loss 1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 30/100, 1 min 10 s left  loss 1"
    assert lines[-1] == "training: 100/100  loss 1"
    assert len(lines) == 8


def test_the_time_left_falls_while_the_count_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with ProgressLine("ablation", 4) as line:
        line.update(0)
        for done, seconds in ((0, 50), (1, 10), (1, 20), (1, 60)):
            clock[0] += seconds
            line.update(done)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "ablation: 0/4"
    assert said[1:] == [f"ablation: 1/4, {left} left" for left in ("3 min 0 s", "2 min 40 s", "2 min 0 s")]


def test_a_terminal_gets_a_bar_for_every_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with ProgressStages() as stages:
        for what in ("sampling", "scoring"):
            for done in range(1, 4):
                stages.update(what, done, 3)
    said = capsys.readouterr().err
    assert "sampling" in said
    assert "scoring" in said
    assert "3/3" in said
