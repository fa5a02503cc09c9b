"""The reason why training met a number that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from iddpm.training.trainer import Trainer, TrainingBatch


def diagnosis(trainer: Trainer, batch: TrainingBatch, what: str, losses: Tensor, t: Tensor, norm: float) -> str:
    """Return in a few lines where the first number that is not finite comes from, and what usually helps.

    what: is not finite ("the loss"). norm: of the gradient of the step before.
    """
    bad_steps = sorted(set(t[~torch.isfinite(losses)].tolist()))
    weights = [n for n, p in trainer.network.named_parameters() if not torch.isfinite(p).all()]
    origin = "the data itself" if not torch.isfinite(batch.x_0).all() else first_bad_module(trainer, batch)
    lines = [
        f"training stopped at step {trainer.step + 1}: {what} is not finite.",
        f"  first not finite: {origin}",
        f"  weights: {'not finite in ' + weights[0] if weights else 'all finite (kept as of the step before)'}",
        f"  timesteps with such a loss: {', '.join(map(str, bad_steps[:10])) or 'none'}",
        f"  learning rate {trainer.learning_rate():.3g}, gradient norm of the step before {norm:.3g}",
        "  what helps: a lower training.learning_rate, a longer training.warmup_steps, training.gradient_clip=1; with"
        " these, the run goes on from its last checkpoint",
    ]
    return "\n".join(lines)


@torch.no_grad()
def first_bad_module(trainer: Trainer, batch: TrainingBatch) -> str:
    """Return the first module of the network whose output on the batch is not finite."""
    outputs: list[str] = []

    def watching(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if not outputs and isinstance(output, Tensor) and not torch.isfinite(output).all():
                outputs.append(f"the output of {name or 'the network'} ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(watching(name)) for name, module in trainer.network.named_modules()]
    try:
        trainer.losses(batch, slice(0, len(batch.x_0)))
    finally:
        for handle in handles:
            handle.remove()
    return outputs[0] if outputs else "the objective, on a finite output"
