"""Mistakes in words on the command line."""

from __future__ import annotations

import pytest

from iddpm.cli.main import main

MEANT = {
    "--no-training.decay": "--training.no-decay",
    "--training.no-decya": "--training.no-decay",
    "--training.decya": "--training.decay",
    "--learning-rate": "--training.learning-rate",
}


def test_a_switch_is_named_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--network.classes", "2"]) == 2
    assert "--network.classes: takes no value, got 2" in capsys.readouterr().err
    assert main(["train", "digits", "--training.seed", "2", "--network.classes", "2"]) == 2
    assert "Unrecognized options: 2" in capsys.readouterr().err


@pytest.mark.parametrize("typed", MEANT)
def test_a_flag_of_the_same_meaning_is_suggested(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", typed]) == 2
    assert f"Unrecognized options: {typed}; did you mean {MEANT[typed]}?" in capsys.readouterr().err
