"""Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal 2021, arXiv 2102.09672).

The names below are the public ones; each module loads when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Config": "config",
    "DataConfig": "config",
    "DatasetSpec": "config",
    "DiffusionConfig": "config",
    "NetworkConfig": "config",
    "ObjectiveConfig": "config",
    "TrainingConfig": "config",
    "UserError": "errors",
    "DivergedError": "errors",
    "preset": "presets",
    "open_source": "data",
    "Splits": "data",
    "split": "data",
    "quantize": "data",
    "scale": "data",
    "train": "training",
    "train_events": "training",
    "Trainer": "training",
    "Model": "model",
    "load": "checkpoints.loading",
    "save": "checkpoints.loading",
    "sample": "sampling",
    "score": "scoring.whole",
    "LikelihoodScore": "scoring.whole",
    "estimate": "scoring.budget",
    "plan": "few_steps.making",
    "StoredPlan": "few_steps.plan",
    "Dataset": "data",
    "ArrayDataset": "data",
    "evaluate": "evaluation.images",
    "SampleQuality": "evaluation.scores",
    "save_grid": "pictures",
    "Diffusion": "diffusion",
    "NoiseSchedule": "diffusion",
    "Parameterization": "diffusion",
    "UNet": "networks",
    "Condition": "conditions",
    "Classes": "conditions",
    "LowResolution": "conditions",
}

__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604

if TYPE_CHECKING:
    from iddpm.checkpoints.loading import load, save
    from iddpm.conditions import Classes, Condition, LowResolution
    from iddpm.config import (
        Config,
        DataConfig,
        DatasetSpec,
        DiffusionConfig,
        NetworkConfig,
        ObjectiveConfig,
        TrainingConfig,
    )
    from iddpm.data import ArrayDataset, Dataset, Splits, open_source, quantize, scale, split
    from iddpm.diffusion import Diffusion, NoiseSchedule, Parameterization
    from iddpm.errors import DivergedError, UserError
    from iddpm.evaluation.images import evaluate
    from iddpm.evaluation.scores import SampleQuality
    from iddpm.few_steps.making import plan
    from iddpm.few_steps.plan import StoredPlan
    from iddpm.model import Model
    from iddpm.networks import UNet
    from iddpm.pictures import save_grid
    from iddpm.presets import preset
    from iddpm.sampling import sample
    from iddpm.scoring.budget import estimate
    from iddpm.scoring.whole import LikelihoodScore, score
    from iddpm.training import Trainer, train, train_events


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'iddpm' has no attribute '{name}'")
    return getattr(import_module(f"iddpm.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
