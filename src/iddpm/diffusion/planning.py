"""Which few of a chain's steps to keep, chosen by the bound itself (Watson et al. 2021).

A chain on fewer steps jumps from t straight to s. What a jump adds to the bound depends on t, s and the prediction at t
alone, so one pass over data gives the cost of every jump, and dynamic programming the cheapest chain of every length.
The same pass tells how large the errors of x_0 are, and so which variances would have been best (see `variances`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.likelihood import end_bits
from iddpm.diffusion.parameterization import VARIANCES, FixedLarge, Learned, LearnedRange, Previous, Variance
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.reverse import Clip, reverse_step
from iddpm.diffusion.schedule import NoiseSchedule
from iddpm.diffusion.variances import ErrorTable, bin_count, bin_of, said_of
from iddpm.errors import UserError

GROUPS = 16
"""Bins are joined for expected errors until each group of them holds one part in so many of all elements."""
NODES = 32
"""Variances at which the decoder's cost is worked out for each step."""
CAUTION = 0.005
"""The share that all elements have in the choice of a group's decoder: a group that was never wrong may be yet."""
SUMS = ("prior", "weight", "said", "error", "error_said", "decoder")
MODEL = "model"
"""The variance that the network was made with, among the names of variances."""
ERROR_TABLES = ("analytic", "calibrated")


@dataclass(frozen=True)
class Spread:
    """How a log variance of the reverse process follows from what the network says, `said`: offset + slope * said."""

    offset: Tensor
    slope: Tensor


def _spread(variance: Variance, log_beta: Tensor, log_beta_tilde: Tensor) -> Spread:
    """For jumps with these variances of the forward step and of its posterior."""
    zero = torch.zeros_like(log_beta)
    if isinstance(variance, LearnedRange):
        return Spread(log_beta_tilde, log_beta - log_beta_tilde)
    if isinstance(variance, Learned):
        return Spread(zero, zero + 1.0)
    return Spread(log_beta if isinstance(variance, FixedLarge) else log_beta_tilde, zero)


class JumpStatistics:
    """What is kept of predictions, so that the cost of every jump of a chain can be told: sums, which can be added.

    Of each of the chain's K steps: a histogram of what the network said of the variance, and one of the squared errors
    of its x_0 over the same bins, `[K, bins]` (a bin stands for its mean: what is neglected is of second order); the
    decoder's cost for a range of variances, `[K, bins, nodes]`.
    UserError for networks that predict the mean of x_{t-1}, which is the mean of one jump alone.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        if isinstance(diffusion.parameterization.prediction, Previous):
            raise UserError("prediction: x_prev is made for one chain; only eps, x_0 and v can be planned with")
        self.diffusion = diffusion
        steps = len(diffusion.schedule)
        bins = bin_count(diffusion.parameterization.variance)
        self.count = 0
        self.prior = torch.zeros(steps, dtype=torch.float64)
        self.weight, self.said, self.error, self.error_said = (
            torch.zeros(steps, bins, dtype=torch.float64) for _ in range(4)
        )
        self.nodes = torch.stack([_nodes(diffusion.schedule, t) for t in range(steps)])
        self.decoder = torch.zeros(steps, bins, NODES, dtype=torch.float64)

    @property
    def variances(self) -> list[str]:
        """The names that `costs` knows: the network's own, both fixed ones, and those that follow from its errors."""
        known = [MODEL, "fixed_small", "fixed_large", ERROR_TABLES[0]]
        return [*known, ERROR_TABLES[1]] if self.weight.shape[1] > 1 else known

    def add(self, position: int, x_0: Tensor, x_t: Tensor, output: Tensor, *, clip: Clip = True) -> None:
        """A batch `x_0` `[batch, channels, *size]`, diffused to the step at `position`, and the network's output there.

        Every step needs the same batches; `count` is how many items the first step has seen.
        """
        diffusion = self.diffusion
        variance = diffusion.parameterization.variance
        step = diffusion.schedule.at_position(position, x_t)
        parts = diffusion.parameterization.split(output, x_t.shape[1])
        reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=clip)
        said = said_of(variance, parts.variance)
        error = _in_float64((reverse.x_0 - x_0) ** 2).flatten()
        flat = torch.zeros_like(error) if said is None else _in_float64(said).flatten()
        bins = self.weight.shape[1]
        index = bin_of(flat, variance)
        scale = len(x_0) / len(flat)  # so that each item has the weight 1

        def summed(values: Tensor | None) -> Tensor:
            return torch.bincount(index, weights=values, minlength=bins).double().cpu() * scale

        self.weight[position] += summed(None)
        self.said[position] += summed(flat)
        self.error[position] += summed(error)
        self.error_said[position] += summed(error * flat)
        for node, log_variance in enumerate(self.nodes[position].tolist()):
            decoder = Gaussian(reverse.x_0, x_0.new_full((), log_variance))
            bits = decoder.discretized_log_likelihood(x_0, diffusion.levels) / -math.log(2.0)
            self.decoder[position, :, node] += summed(_in_float64(bits).flatten())
        self.prior[position] += float(_in_float64(end_bits(step, x_0)).sum())
        self.count += len(x_0) if position == 0 else 0

    def state(self) -> dict[str, Tensor]:
        """All sums by name, for `restore`."""
        return {**{name: getattr(self, name) for name in SUMS}, "count": torch.tensor(self.count)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave. UserError for sums of another chain."""
        if any(state[name].shape != getattr(self, name).shape for name in SUMS):
            raise UserError("plan: what was kept is of another chain")
        for name in SUMS:
            setattr(self, name, state[name].clone())
        self.count = int(state["count"])

    def error_table(self, name: str) -> ErrorTable:
        """The best variances of those that know the step ("analytic"), or the network's word too ("calibrated")."""
        self._check_count()
        weight, error, decoder = self.weight, self.error, self.decoder
        if name == ERROR_TABLES[0]:
            weight, error, decoder = (each.sum(dim=1, keepdim=True) for each in (weight, error, decoder))
        errors, variances = torch.empty_like(error), torch.empty_like(error)
        for t in range(len(weight)):
            group = _groups(weight[t])
            count = int(group.max()) + 1
            total = torch.zeros(count, dtype=torch.float64).index_add_(0, group, weight[t])
            squares = torch.zeros(count, dtype=torch.float64).index_add_(0, group, error[t])
            costs = torch.zeros(count, NODES, dtype=torch.float64).index_add_(0, group, decoder[t])
            costs += CAUTION * total[:, None] * costs.sum(dim=0) / total.sum()
            errors[t] = (squares / total).clamp(min=1e-12)[group]
            variances[t] = _cheapest(costs, self.nodes[t]).exp()[group]
        return ErrorTable(name, self.diffusion.schedule.timesteps, errors.float(), variances.float())

    def _check_count(self) -> None:
        if not self.count:
            raise UserError("plan: there is nothing to plan on; give some items")

    def costs(self, name: str = MODEL) -> JumpCosts:
        """The cost of every jump in bits/dim, a mean over all items, with the variance of that name (`variances`)."""
        self._check_count()
        steps = len(self.diffusion.schedule)
        own = self.diffusion.parameterization.variance
        table = self.error_table(name) if name in ERROR_TABLES else None
        variance = own if name == MODEL or table is not None else VARIANCES[name]()
        jumps = torch.full((steps, steps), torch.inf, dtype=torch.float64)
        decoder = torch.full((steps, steps), torch.inf, dtype=torch.float64)
        alone = torch.empty(steps, dtype=torch.float64)
        for t in range(steps):
            first = self._first_of(t, variance) if table is None else self._first_with(t, table)
            decoder[t, t + 1 :], alone[t] = first[:-1], first[-1]
            if t:
                jumps[t, :t] = self._jumps_of(t, variance) if table is None else self._jumps_with(t, table)
        return JumpCosts(jumps, decoder, alone, self.prior / self.count)

    def _jumps_of(self, t: int, variance: Variance) -> Tensor:
        """The costs of the jumps from t to every earlier step, `[t]`, with the network's variance or a fixed one."""
        jump = _Jumps.of(self.diffusion.schedule, t)
        sums = (self.weight, self.said, self.error, self.error_said)
        w, said, error, error_said = (each[t] / self.count for each in sums)
        used = w > 0
        w, said, error, error_said = (
            w[used],
            said[used] / w[used],
            error[used],
            error_said[used] / error[used].clamp(min=1e-300),
        )
        spread = _spread(variance, jump.log_beta, jump.log_beta_tilde)
        slope, offset = spread.slope[:, None], spread.offset[:, None]
        widths = (torch.exp(jump.log_beta_tilde[:, None] - offset - slope * said) * w).sum(dim=1)
        errors = (torch.exp(-offset - slope * error_said) * error).sum(dim=1) * jump.from_x_0**2
        mean_log = spread.offset + spread.slope * (w * said).sum()
        return 0.5 * (mean_log - jump.log_beta_tilde - 1.0 + widths + errors) / math.log(2.0)

    def _jumps_with(self, t: int, table: ErrorTable) -> Tensor:
        """The same, where the variance follows from expected errors."""
        jump = _Jumps.of(self.diffusion.schedule, t)
        w, error = self.weight[t : t + 1] / self.count, self.error[t : t + 1] / self.count
        if table.errors.shape[1] == 1:
            w, error = w.sum(dim=1, keepdim=True), error.sum(dim=1, keepdim=True)
        own = torch.exp(jump.log_beta_tilde)[:, None]
        variance = own + jump.from_x_0[:, None] ** 2 * table.errors[t].double()
        spread = own * w + jump.from_x_0[:, None] ** 2 * error
        nats = 0.5 * (w * torch.log(variance / own) - w + spread / variance).sum(dim=1)
        return nats / math.log(2.0)

    def _first_of(self, t: int, variance: Variance) -> Tensor:
        """The decoder's cost where t is the first step, for every second step and last for none, `[K - t]`."""
        schedule = self.diffusion.schedule
        log_beta = torch.log(1.0 - schedule.alpha_bar[t])
        second = _first_log_variances(schedule, t)
        # The fixed variances, large or small, have the second step's beta-tilde at the first one.
        spread = _spread(variance, log_beta.expand_as(second) if isinstance(variance, LearnedRange) else second, second)
        said = self.said[t] / self.weight[t].clamp(min=1e-300)
        return self._decoder(t, spread.offset[:, None] + spread.slope[:, None] * said)

    def _first_with(self, t: int, table: ErrorTable) -> Tensor:
        log_variance = torch.log(table.decoder[t].double()).expand(1, self.weight.shape[1])
        return self._decoder(t, log_variance).expand(len(self.weight) - t)

    def _decoder(self, t: int, log_variances: Tensor) -> Tensor:
        """The decoder's cost at step t for log variances by bin, `[choices, bins]` -> `[choices]`."""
        used = self.weight[t] > 0
        return _interpolated(self.decoder[t, used], self.nodes[t], log_variances[:, used]).sum(dim=1) / self.count


class _Jumps(NamedTuple):
    """The jumps from a step to every earlier one, `[t]` each: forward and posterior variance, the weight of x_0."""

    log_beta: Tensor
    log_beta_tilde: Tensor
    from_x_0: Tensor

    @classmethod
    def of(cls, schedule: NoiseSchedule, t: int) -> _Jumps:
        alpha_bar = schedule.alpha_bar
        before = alpha_bar[:t]
        beta = 1.0 - alpha_bar[t] / before
        log_tilde = torch.log(beta * (1.0 - before) / (1.0 - alpha_bar[t]))
        return cls(torch.log(beta), log_tilde, beta * before.sqrt() / (1.0 - alpha_bar[t]))


def _first_log_variances(schedule: NoiseSchedule, t: int) -> Tensor:
    """log beta-tilde that stands in at the first step t, for each second step, and last for no second one."""
    first, others = schedule.alpha_bar[t], schedule.alpha_bar[t + 1 :]
    tilde = (1.0 - others / first) * (1.0 - first) / (1.0 - others)
    return torch.log(torch.cat([tilde, (1.0 - first).reshape(1)]))


def _in_float64(values: Tensor) -> Tensor:
    """Where they are, or on the CPU for a device that has no such numbers."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def _groups(weight: Tensor) -> Tensor:
    """Neighbouring bins joined until each group holds its part of all elements: the group of every bin, `[bins]`."""
    enough = float(weight.sum()) / GROUPS
    found, group, held = [], 0, 0.0
    for each in weight.tolist():
        if held >= enough:
            group, held = group + 1, 0.0
        found.append(group)
        held += each
    if group and held < enough:  # what is left over joins the last group that is large enough
        found = [min(each, group - 1) for each in found]
    return torch.tensor(found)


def _nodes(schedule: NoiseSchedule, t: int) -> Tensor:
    """Log variances that the decoder may have at step t, evenly spaced, `[nodes]`.

    From well below beta-tilde with the next step as the second one, to a little above the variance of all noise.
    """
    seconds = _first_log_variances(schedule, t)
    return torch.linspace(float(seconds[0]) - 3.0, float(seconds[-1]) + 1.0, NODES, dtype=torch.float64)


def _cheapest(costs: Tensor, nodes: Tensor) -> Tensor:
    """The log variance of least cost of each row `[groups, nodes]`: the vertex of a parabola through three nodes."""
    middle = costs.argmin(dim=1, keepdim=True).clamp(1, len(nodes) - 2)
    left, centre, right = (costs.gather(1, middle + shift)[:, 0] for shift in (-1, 0, 1))
    bend = (left - 2 * centre + right).clamp(min=1e-300)
    shift = (0.5 * (left - right) / bend).clamp(-1.0, 1.0)
    return nodes[middle[:, 0]] + shift * (nodes[1] - nodes[0])


def _interpolated(costs: Tensor, nodes: Tensor, log_variances: Tensor) -> Tensor:
    """Costs at nodes `[bins, nodes]` at the log variances `[choices, bins]`: the cubic through the four around each."""
    places = ((log_variances - nodes[0]) / (nodes[1] - nodes[0])).clamp(0.0, len(nodes) - 1.0)
    left = (places.floor().long() - 1).clamp(0, len(nodes) - 4)
    x = places - left
    rows = torch.arange(len(costs))
    found = torch.zeros_like(x)
    for i in range(4):
        factor = torch.ones_like(x)
        for j in range(4):
            if i != j:
                factor = factor * (x - j) / (i - j)
        found = found + costs[rows, left + i] * factor
    return found


@dataclass(frozen=True)
class JumpCosts:
    """What parts of a chain add to the bound, in bits/dim, float64; positions are of the chain that was looked at.

    jumps:   `[K, K]`, from t (row) to an earlier s; infinite elsewhere.
    decoder: `[K, K]`, of the first step (row) when the second one is the column; alone: `[K]`, when there is no second.
    prior:   `[K]`, of the last step.
    """

    jumps: Tensor
    decoder: Tensor
    alone: Tensor
    prior: Tensor

    def bound(self, positions: list[int]) -> float:
        """The whole bound of the chain on these increasing positions."""
        first, last = positions[0], positions[-1]
        if len(positions) == 1:
            return float(self.alone[first] + self.prior[first])
        inner = self.jumps[positions[1:], positions[:-1]].sum()
        return float(self.decoder[first, positions[1]] + inner + self.prior[last])

    def plan(self, longest: int | None = None) -> Plan:
        """The cheapest chain of every length up to `longest` (all of them for None), by dynamic programming."""
        steps = len(self.alone)
        longest = min(longest or steps, steps)
        bounds = [self.alone + self.prior]
        before = [torch.zeros(steps, dtype=torch.int32)]
        reached = torch.full((steps,), torch.inf, dtype=torch.float64)
        for length in range(2, longest + 1):
            ways = self.jumps + (self.decoder.T if length == 2 else reached)
            reached, best = ways.min(dim=1)
            bounds.append(reached + self.prior)
            before.append(best.int())
        return Plan(
            torch.stack([bound.min() for bound in bounds]),
            torch.stack([b.argmin() for b in bounds]),
            torch.stack(before),
        )


@dataclass(frozen=True)
class Plan:
    """The cheapest chain of every length n = 1 ... N.

    bounds: `[N]`, in bits/dim. last: `[N]`, each chain's last position. before: `[N, K]`, the position before each one
    in the cheapest chain of length n that ends there.
    """

    bounds: Tensor
    last: Tensor
    before: Tensor

    def __len__(self) -> int:
        return len(self.bounds)

    def positions(self, count: int, *, from_noise: bool = False) -> list[int]:
        """The increasing positions of the chain of `count` steps. UserError for a length that was not planned.

        from_noise: the cheapest of those that end at the last position, as sampling has to: it begins with noise alone,
        and the bound alone would leave out last steps that decide on colours but are worth few bits.
        """
        self.check_length(count)
        found = [self.before.shape[1] - 1 if from_noise else int(self.last[count - 1])]
        for length in range(count, 1, -1):
            found.append(int(self.before[length - 1, found[-1]]))
        return found[::-1]

    def check_length(self, count: int) -> None:
        """UserError where no chain of so many steps was planned."""
        if not 1 <= count <= len(self):
            choices = self.before.shape[1]
            way = f"--longest {count}" if count <= choices else f"--candidates {count}, of which it had {choices}"
            raise UserError(
                f"steps: at most {len(self)} are planned, asked for {count}; ask for fewer, or plan anew with {way}"
            )
