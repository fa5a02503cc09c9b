"""One optimizer step: draw timesteps and noise, compute the objective, follow its gradient, average the weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from iddpm.acceleration import chosen_precision, compile_network, computing_in, is_worth_compiling, set_up
from iddpm.build import build_objective, build_timestep_sampler
from iddpm.conditions import Conditions
from iddpm.config import Config, DatasetSpec
from iddpm.diffusion import Losses, diffuse
from iddpm.diffusion.randomness import mixed_seed
from iddpm.errors import DivergedError
from iddpm.model import Model
from iddpm.networks.unet import NONE
from iddpm.training.averages import Averages
from iddpm.training.processes import Processes


@dataclass(frozen=True)
class TrainingBatch:
    """This process's rows of a batch, on the model's device: data in [-1, 1], noise, steps, weights, conditions."""

    x_0: Tensor
    noise: Tensor
    t: Tensor
    weights: Tensor
    conditions: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class StepResult:
    """What a step saw: losses of every row of the whole batch (unweighted), their steps, and the gradient's norm.

    Tensors are on the model's device: reading one waits for the step to be over.
    """

    t: Tensor
    total: Tensor
    simple: Tensor
    vlb: Tensor | None
    gradient_norm: Tensor
    learning_rate: float


@dataclass(frozen=True)
class Check:
    """Whether a step's gradient was not finite, and what is needed to say why."""

    step: int
    batch: TrainingBatch
    failed: Tensor
    losses: Tensor
    t: Tensor


class Trainer:
    """A model in training. Everything that changes from step to step is in here, and in `TrainingState` on disk."""

    def __init__(
        self,
        config: Config,
        spec: DatasetSpec,
        device: torch.device | str = "cpu",
        processes: Processes | None = None,
        tell: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.config = config
        self.spec = spec
        self.device = torch.device(device)
        self.processes = processes or Processes()
        torch.manual_seed(config.training.seed)
        self.model = Model.from_config(config, spec).to(self.device)
        self.network = self.model.network
        self.precision = chosen_precision(config.training.precision, self.device, training=True)
        set_up(self.device, self.precision)
        if is_worth_compiling(config.training.compile, self.device, config.training.steps):
            compile_network(self.network, tell)
        self.diffusion = self.model.diffusion
        self.objective = build_objective(config)
        self.timesteps = build_timestep_sampler(config)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.averages = Averages(self.network, config.training.ema_rates, warmup=config.training.ema_warmup)
        self.step = 0
        self._last_norm = torch.tensor(float("nan"))
        # A GPU is not waited for: it leaves out a step that went wrong, and we hear of it a step later.
        self.checks_late = self.device.type == "cuda"
        self._unchecked: Check | None = None
        self._replica: nn.Module = self.network
        if self.processes.count > 1:
            self._replica = nn.parallel.DistributedDataParallel(self.network)

    def draw(self, x_0: Tensor, conditions: Conditions = NONE) -> TrainingBatch:
        """The coming step's timesteps and noise for this process's rows `x_0`.

        They are drawn for the whole batch from (seed, step), so they do not depend on how many processes share it.
        """
        generator = torch.Generator().manual_seed(mixed_seed(self.config.training.seed, self.step, 1))
        batch_size = len(x_0) * self.processes.count
        drawn = self.timesteps.draw(batch_size, generator)
        noise = torch.randn(batch_size, *x_0.shape[1:], generator=generator)
        mine = self.processes.share_of(batch_size)
        return TrainingBatch(
            self._there(x_0),
            self._there(noise[mine]),
            self._there(drawn.t[mine]),
            self._there(drawn.weights[mine]),
            {name: self._there(values) for name, values in conditions.items()},
        )

    def _there(self, rows: Tensor) -> Tensor:
        """On the device, without waiting for the copy where that can be."""
        if self.device.type == "cuda":
            return rows.pin_memory().to(self.device, non_blocking=True)
        return rows.to(self.device)

    def optimize(self, batch: TrainingBatch) -> StepResult:
        """One step of the optimizer on `batch`; DivergedError, the weights being as before, if a number is not finite.

        Where the device works on its own (`checks_late`), the error comes with the next step, or with `check()`.
        """
        learning_rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        # Dropout's randomness, too, is a function of the step, and differs between processes.
        torch.manual_seed(mixed_seed(self.config.training.seed, self.step, 2, self.processes.rank))
        t, total, simple, vlb = self._accumulate_gradients(batch)
        limit = self.config.training.gradient_clip or float("inf")
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        self._guard(Check(self.step, batch, ~torch.isfinite(norm), total, t))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.averages.update(self.step)
        self._last_norm = norm
        if self.timesteps.learns:
            self.timesteps.update(t.cpu(), total.cpu())
        return StepResult(t, total, simple, vlb, norm, learning_rate)

    def check(self) -> None:
        """DivergedError if a step so far has gone wrong; waits for the device."""
        unchecked, self._unchecked = self._unchecked, None
        if unchecked is not None and bool(unchecked.failed):
            self.step = unchecked.step  # what came after it did not count
            self._diagnose(unchecked.batch, "the gradient", unchecked.losses, unchecked.t)

    def _guard(self, check: Check) -> None:
        """See that no weight changes where the gradient is not finite."""
        if self.checks_late:
            self.check()
            self.optimizer.found_inf = check.failed.float()  # type: ignore[attr-defined]  # the fused step obeys it
        self._unchecked = check
        if not self.checks_late:
            self.check()

    def learning_rate(self) -> float:
        """Of the coming step: linear warm-up, and if wanted linear decay to zero at the last step."""
        training = self.config.training
        rate = training.learning_rate
        if self.step < training.warmup_steps:
            rate *= (self.step + 1) / training.warmup_steps
        if training.decay:
            rate *= 1 - self.step / training.steps
        return rate

    def _accumulate_gradients(self, batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The gradient of the batch's mean loss; steps and losses of the whole batch."""
        rows = len(batch.x_0)
        size = min(self.config.training.microbatch_size or rows, rows)
        totals, simples, vlbs = [], [], []
        for start in range(0, rows, size):
            part = slice(start, start + size)
            losses = self._losses(batch, part)
            # A sum over the whole batch's length: however it is cut, the gradient is that of the mean.
            loss = (losses.total * batch.weights[part]).sum() / rows
            if not self.checks_late and not torch.isfinite(loss):
                self._diagnose(batch, "the loss", losses.total, batch.t[part])
            loss.backward()  # type: ignore[no-untyped-call]
            totals.append(losses.total.detach())
            simples.append(losses.simple.detach())
            if losses.vlb is not None:
                vlbs.append(losses.vlb.detach())
        gather = self.processes.gather
        return (
            gather(batch.t),
            gather(torch.cat(totals)),
            gather(torch.cat(simples)),
            gather(torch.cat(vlbs)) if vlbs else None,
        )

    def _losses(self, batch: TrainingBatch, part: slice) -> Losses:
        x_0, noise, t = batch.x_0[part], batch.noise[part], batch.t[part]
        step = self.diffusion.schedule.at(t, x_0)
        x_t = diffuse(step, x_0, noise)
        conditions = {name: values[part] for name, values in batch.conditions.items()}
        with computing_in(self.precision, self.device):
            output = self._replica(x_t, t, conditions) if conditions else self._replica(x_t, t)
        return self.objective(self.diffusion, output.float(), x_0, x_t, t, noise)

    def _diagnose(self, batch: TrainingBatch, what: str, losses: Tensor, t: Tensor) -> None:
        raise DivergedError(diagnosis(self, batch, what, losses.detach().cpu(), t.cpu()))

    def averaged_model(self, rate: float | None = None) -> Model:
        """A copy of the model with averaged weights, of the first rate by default."""
        rates = self.averages.state_dicts()
        chosen = next(iter(rates)) if rate is None else rate
        return self._copy(rates[chosen], f"ema {chosen}")

    def raw_model(self) -> Model:
        """A copy of the model with the weights as they are."""
        return self._copy(self.network.state_dict(), "raw")

    def _copy(self, state: Mapping[str, Tensor], weights: str) -> Model:
        with torch.random.fork_rng(devices=[]):
            model = Model.from_config(self.config, self.spec)
        model.network.load_state_dict(state)
        model.step, model.weights = self.step, weights
        return model.to(self.device)


def diagnosis(trainer: Trainer, batch: TrainingBatch, what: str, losses: Tensor, t: Tensor) -> str:
    """Where the first number that is not finite comes from, and what usually helps, in a few lines."""
    bad_steps = sorted(set(t[~torch.isfinite(losses)].tolist()))
    weights = [n for n, p in trainer.network.named_parameters() if not torch.isfinite(p).all()]
    where = "the data itself" if not torch.isfinite(batch.x_0).all() else first_bad_module(trainer, batch)
    norm = float(trainer._last_norm)
    lines = [
        f"training stopped at step {trainer.step + 1}: {what} is not finite.",
        f"  first not finite: {where}",
        f"  weights: {'not finite in ' + weights[0] if weights else 'all finite (kept as of the step before)'}",
        f"  timesteps with such a loss: {', '.join(map(str, bad_steps[:10])) or 'none'}",
        f"  learning rate {trainer.learning_rate():.3g}, gradient norm of the step before {norm:.3g}",
        "  what helps: a lower --training.learning-rate, a longer --training.warmup-steps,"
        " --training.gradient-clip 1: give them to iddpm train, and the run goes on from its last checkpoint",
    ]
    return "\n".join(lines)


@torch.no_grad()
def first_bad_module(trainer: Trainer, batch: TrainingBatch) -> str:
    """The first module of the network whose output on the batch is not finite."""
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(f"the output of {name or 'the network'} ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in trainer.network.named_modules()]
    try:
        trainer._losses(batch, slice(0, len(batch.x_0)))
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "the objective, on a finite output"
