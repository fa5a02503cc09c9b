"""Verdicts need no cost of networks: counted by torch it takes seconds, here it follows from their width."""

import pytest

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.paper import likelihood
from iddpm.experiments.rivals import gan_run


@pytest.fixture(autouse=True)
def _costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiffusionRun, "flops", lambda run: 10**9 * run.config.network.channels)
    monkeypatch.setattr(gan_run, "_flops_of", lambda *_: 1000)
    monkeypatch.setattr(likelihood, "_flops_of", lambda *_: (1000, 1))
