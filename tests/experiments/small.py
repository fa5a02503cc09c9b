"""A scale that says nothing but takes seconds, and models of it that are made once for all tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iddpm.config import Config
from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Subject
from iddpm.experiments.rivals.autoregressive_run import AutoregressiveRun, Settings
from iddpm.experiments.rivals.gan_run import GanRun
from iddpm.experiments.scales import Scale, tiny, varied
from iddpm.progress import finish

STEPS = 8


def minuscule() -> Scale:
    """Return networks of a few thousand weights and a chain of 40 steps, trained for 8 steps."""

    def shrunk(config: Config) -> Config:
        return config.with_changes(
            diffusion={"num_timesteps": 40},
            training={"steps": STEPS, "batch_size": 8, "warmup_steps": 2, "checkpoint_every": 4},
            network={"channels": 8, "channel_multipliers": (1,), "num_res_blocks": 1, "attention_resolutions": ()},
        )

    scale = tiny()
    return replace(
        scale,
        name="minuscule",
        base=shrunk(scale.base),
        classes=shrunk(scale.classes),
        widened=shrunk(scale.widened),
        widths=(4, 8, 12, 16),
        items=4,
        error=50.0,
        samples=100,
        sampling_steps="4",
    )


def diffusion(seed: int = 0) -> DiffusionRun:
    """Return a run that validates, on photographs."""
    config = varied(minuscule().base, seed=seed)
    looks = {"validate_every": 4, "validate_steps": "4", "validate_count": 2}
    return DiffusionRun(config.with_changes(training=looks))


def autoregressive(steps: int = STEPS) -> AutoregressiveRun:
    return AutoregressiveRun(minuscule().base.data, steps, 4, 0, "PixelCNN", Settings(6, 1, 2e-3))


def gan() -> GanRun:
    return GanRun(minuscule().classes.data, 2, 4, 0, 4, 1e-3, 0.9)


def made(subject: Subject, folder: Path) -> Path:
    """Make a subject, and return the folder."""
    finish(subject.make(folder))
    return folder
