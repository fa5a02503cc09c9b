"""Verdicts need no cost of networks: counted by torch it takes seconds, here it follows from their width."""

import pytest

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.rivals import autoregressive_run, gan_run


@pytest.fixture(autouse=True)
def _costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiffusionRun, "flops", lambda run: 10**9 * run.config.network.channels)
    monkeypatch.setattr(gan_run, "_item_flops", lambda *_: 1000)
    monkeypatch.setattr(autoregressive_run, "_cost", lambda *_: (1000, 1))
