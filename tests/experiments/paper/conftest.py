"""Verdicts need no figures, nor what networks cost: counted by torch it takes seconds, here it is by their width."""

import importlib

import pytest
from matplotlib.figure import Figure

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.rivals import autoregressive_run, gan_run
from iddpm.names import EXPERIMENTS


@pytest.fixture(autouse=True)
def _verdicts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXPERIMENTS:
        monkeypatch.setattr(importlib.import_module(EXPERIMENTS[name].__module__), "_figure", lambda *_: Figure())
    monkeypatch.setattr(DiffusionRun, "flops", lambda run: 10**9 * run.config.network.channels)
    monkeypatch.setattr(gan_run, "_item_flops", lambda *_: 1000)
    monkeypatch.setattr(autoregressive_run, "_cost", lambda *_: (1000, 1))
