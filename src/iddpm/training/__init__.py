"""Training: one step, the loop around it, and its records."""

from iddpm.training.loop import Event, Finished, Saved, Session, Stepped, Validated, WroteSamples, train, train_events
from iddpm.training.trainer import Trainer

__all__ = [
    "Event",
    "Finished",
    "Saved",
    "Session",
    "Stepped",
    "Trainer",
    "Validated",
    "WroteSamples",
    "train",
    "train_events",
]
