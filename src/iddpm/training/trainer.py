"""One optimizer step: draw timesteps and noise, compute the objective, follow its gradient, average the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from iddpm.acceleration import chosen_precision, compile_network, computing_in, is_worth_compiling, set_up
from iddpm.build import build_objective, build_timestep_sampler
from iddpm.checkpoints.state import TrainingState
from iddpm.conditions import Conditions
from iddpm.config import Config, DatasetSpec, TrainingConfig
from iddpm.diffusion import Diffusion, Losses, Objective, TimestepSampler, diffuse
from iddpm.diffusion.objectives import Hybrid, Simple
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.timesteps import Uniform
from iddpm.errors import DivergedError
from iddpm.model import Model
from iddpm.networks.unet import NONE
from iddpm.training.averages import Averages
from iddpm.training.diagnosis import diagnosis
from iddpm.training.running import Alone, Backend


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
    """The result of a step: losses of every row of the whole batch (unweighted), their steps, and the gradient's norm.

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
    """A step whose gradient may not be finite (`failed`), and what is needed to say why."""

    step: int
    batch: TrainingBatch
    failed: Tensor
    losses: Tensor
    t: Tensor


class Trainer:
    """A model in training. All that changes from step to step is in here, and in a `TrainingState` on disk.

    model:     it is trained in place; its network and diffusion are those that are trained, validated and sampled.
    training:  the optimizer's settings.
    objective: None takes L_hybrid for a variance that is learned, and L_simple for another.
    timesteps: how steps are drawn; None draws all alike.
    device:    None leaves the model where it is.
    backend:   the processes that share each batch, on their devices; None is this process alone.
    tell:      is given a line about whatever is not available.
    """

    def __init__(
        self,
        model: Model,
        training: TrainingConfig,
        *,
        objective: Objective | None = None,
        timesteps: TimestepSampler | None = None,
        device: torch.device | str | None = None,
        backend: Backend | None = None,
        tell: Callable[[str], None] = warn,
    ) -> None:
        self.training = training
        self.backend = backend or Alone(torch.device(device or model.device))
        self.device = self.backend.device
        self._model = model.to(self.device)
        learned = self.diffusion.parameterization.variance.is_learned
        self.objective = objective or (Hybrid() if learned else Simple())
        self.timesteps = timesteps or Uniform(len(self.diffusion.schedule))
        self.precision = chosen_precision(training.precision, self.device, training=True)
        set_up(self.device, self.precision)
        self._blank = blank(self.network)
        if is_worth_compiling(training.compile, self.device, training.steps):
            compile_network(self.network, tell)
        self._replica = self.backend.prepare(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.averages = Averages(self.network, training.ema_rates, warmup=training.ema_warmup)
        self.step = 0
        self._last_norm = torch.tensor(float("nan"))
        # A GPU is not waited for: it leaves out a step that went wrong, and we hear of it a step later.
        self.checks_late = self.device.type == "cuda"
        self._unchecked: Check | None = None

    @classmethod
    def from_config(
        cls,
        config: Config,
        spec: DatasetSpec,
        *,
        device: torch.device | str = "cpu",
        backend: Backend | None = None,
        tell: Callable[[str], None] = warn,
    ) -> Trainer:
        """Return the trainer of the model, objective and timesteps that a configuration describes."""
        torch.manual_seed(config.training.seed)
        return cls(
            Model.from_config(config, spec),
            config.training,
            objective=build_objective(config),
            timesteps=build_timestep_sampler(config),
            device=device,
            backend=backend,
            tell=tell,
        )

    @property
    def model(self) -> Model:
        """The model in training, with its weights as they are."""
        return self._model

    @property
    def network(self) -> nn.Module:
        """The model's network."""
        return self._model.network

    @property
    def diffusion(self) -> Diffusion:
        """The model's diffusion."""
        return self._model.diffusion

    def draw(self, x_0: Tensor, conditions: Conditions = NONE) -> TrainingBatch:
        """Return the coming step's batch, with timesteps and noise, of this process's rows `x_0`.

        They are drawn for the whole batch from (seed, step), so they do not depend on how many processes share it.
        """
        generator = torch.Generator().manual_seed(mixed_seed(self.training.seed, self.step, 1))
        batch_size = len(x_0) * self.backend.count
        drawn = self.timesteps.draw(batch_size, generator)
        noise = torch.randn(batch_size, *x_0.shape[1:], generator=generator)
        rows = self.backend.share_of(batch_size)
        return TrainingBatch(
            self._moved(x_0),
            self._moved(noise[rows]),
            self._moved(drawn.t[rows]),
            self._moved(drawn.weights[rows]),
            {name: self._moved(values) for name, values in conditions.items()},
        )

    def _moved(self, rows: Tensor) -> Tensor:
        """Return rows on the device, without waiting for the copy if that is possible."""
        if self.device.type == "cuda":
            return rows.pin_memory().to(self.device, non_blocking=True)
        return rows.to(self.device)

    def optimize(self, batch: TrainingBatch) -> StepResult:
        """Take one step of the optimizer; DivergedError, the weights being as before, if a number is not finite.

        Where the device works on its own (`checks_late`), the error comes with the next step, or with `check()`.
        """
        learning_rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        # Dropout's randomness, too, is a function of the step, and differs between processes.
        torch.manual_seed(mixed_seed(self.training.seed, self.step, 2, self.backend.rank))
        t, total, simple, vlb = self._accumulate_gradients(batch)
        norm = self.backend.clip(self.network.parameters(), self.training.gradient_clip or float("inf"))
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
        """Raise DivergedError if a step so far has gone wrong; wait for the device."""
        unchecked, self._unchecked = self._unchecked, None
        if unchecked is not None and bool(unchecked.failed):
            self.step = unchecked.step  # what came after it did not count
            self._diagnose(unchecked.batch, "the gradient", unchecked.losses, unchecked.t)

    def _guard(self, check: Check) -> None:
        """Keep all weights as they are if the gradient is not finite."""
        if self.checks_late:
            self.check()
            self.optimizer.found_inf = check.failed.float()  # type: ignore[attr-defined]  # the fused step obeys it
        self._unchecked = check
        if not self.checks_late:
            self.check()

    def learning_rate(self) -> float:
        """Return the coming step's: linear warm-up, and if wanted linear decay to zero at the last step."""
        rate = self.training.learning_rate
        if self.step < self.training.warmup_steps:
            rate *= (self.step + 1) / self.training.warmup_steps
        if self.training.decay:
            rate *= 1 - self.step / self.training.steps
        return rate

    def _accumulate_gradients(self, batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Add up the gradient of the batch's mean loss; return steps and losses of the whole batch."""
        rows = len(batch.x_0)
        size = min(self.training.microbatch_size or rows, rows)
        totals, simples, vlbs = [], [], []
        for start in range(0, rows, size):
            part = slice(start, start + size)
            with self.backend.accumulate(is_last=start + size >= rows):
                losses = self.losses(batch, part)
                # A sum over the whole batch's length: however it is cut, the gradient is that of the mean.
                loss = (losses.total * batch.weights[part]).sum() / rows
                if not self.checks_late and not torch.isfinite(loss):
                    self._diagnose(batch, "the loss", losses.total, batch.t[part])
                loss.backward()  # type: ignore[no-untyped-call]
            totals.append(losses.total.detach())
            simples.append(losses.simple.detach())
            if losses.vlb is not None:
                vlbs.append(losses.vlb.detach())
        gather = self.backend.gather
        vlb = gather(torch.cat(vlbs)) if vlbs else None
        return gather(batch.t), gather(torch.cat(totals)), gather(torch.cat(simples)), vlb

    def losses(self, batch: TrainingBatch, part: slice) -> Losses:
        """Return the objective's losses of some rows of a batch."""
        x_0, noise, t = batch.x_0[part], batch.noise[part], batch.t[part]
        step = self.diffusion.schedule.at(t, x_0)
        x_t = diffuse(step, x_0, noise)
        conditions = {name: values[part] for name, values in batch.conditions.items()}
        with computing_in(self.precision, self.device):
            output = self._replica(x_t, t, conditions) if conditions else self._replica(x_t, t)
        return self.objective(self.diffusion, output.float(), x_0, x_t, t, noise)

    def _diagnose(self, batch: TrainingBatch, what: str, losses: Tensor, t: Tensor) -> None:
        raise DivergedError(diagnosis(self, batch, what, losses.detach().cpu(), t.cpu(), float(self._last_norm)))

    def averaged_model(self, rate: float | None = None) -> Model:
        """Return a copy of the model with averaged weights, of the first rate by default."""
        averages = self.averages.state_dicts()
        chosen = next(iter(averages)) if rate is None else rate
        return self._copy(averages[chosen], f"ema {chosen}")

    def raw_model(self) -> Model:
        """Return a copy of the model with the weights as they are."""
        return self._copy(self.network.state_dict(), "raw")

    def _copy(self, state: Mapping[str, Tensor], weights: str) -> Model:
        network = copy.deepcopy(self._blank)
        network.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()}, assign=True)
        model = copy.copy(self.model)
        model.network, model.step, model.weights = network.eval(), self.step, weights
        return model

    def capture(self, window: Mapping[str, Tensor] = NONE) -> TrainingState:
        """Return all state as tensors, with that of a record in the making; all processes call this."""
        whole = self.backend.whole
        optimizer = {
            f"{index}/{name}": whole(value).contiguous()
            for index, values in self.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        raw = {name: whole(tensor) for name, tensor in self.network.state_dict().items()}
        averages = {
            rate: {name: whole(tensor) for name, tensor in average.items()}
            for rate, average in self.averages.state_dicts().items()
        }
        return TrainingState(self.step, raw, averages, optimizer, self.timesteps.state_dict(), window)

    def restore(self, state: TrainingState) -> None:
        """Take up the state that `capture` returned."""
        self.network.load_state_dict(state.raw)
        self.averages.load_state_dicts(state.averages)
        self.timesteps.load_state_dict(dict(state.timestep_sampler))
        parameters = list(self.network.parameters())
        by_parameter: dict[int, dict[str, Tensor]] = {}
        for key, value in state.optimizer.items():
            index, _, name = key.partition("/")
            own = self.backend.part(value, parameters[int(index)]) if value.ndim else value
            by_parameter.setdefault(int(index), {})[name] = own
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": by_parameter, "param_groups": groups})
        self.step = state.step


def blank(network: nn.Module) -> nn.Module:
    """Return a copy of a network whose weights take no memory until `load_state_dict(..., assign=True)` gives them."""
    empty: dict[int, Any] = {}
    for tensor in network.state_dict(keep_vars=True).values():
        copied = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        empty[id(tensor)] = nn.Parameter(copied, tensor.requires_grad) if is_parameter else copied
    return copy.deepcopy(network, empty)
