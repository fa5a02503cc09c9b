"""The statistics of a network from which the few steps to keep are planned by the bound itself (Watson et al. 2021).

A chain on fewer steps jumps from t straight to s. What a jump adds to the bound depends on t, s and the prediction at t
alone, so one pass over data gives the cost of every jump, and dynamic programming the cheapest chain of every length.
The same pass tells how large the errors of x_0 are, and so which variances are best (see `readings.error_table`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.jumps import JumpCosts
from iddpm.diffusion.likelihood import end_bits
from iddpm.diffusion.parameterization import Variance
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.readings import ANALYTIC, CALIBRATED, ErrorTable
from iddpm.diffusion.reverse import Clip, reverse_step
from iddpm.diffusion.schedule import NoiseSchedule
from iddpm.errors import UserError
from iddpm.names import MODEL, READINGS, VARIANCES

GROUPS = 16
"""Groups of bins for expected errors: bins are joined until each group holds 1 / GROUPS of all elements."""
NODES = 32
"""Number of variances at which the decoder's cost is computed for each step."""
CAUTION = 0.005
"""Weight of the pooled cost in each group's choice, so that a group without observed errors gets no variance of 0."""
SUMS = ("prior", "weight", "said", "error", "error_said", "decoder")


class JumpStatistics:
    """Sums over predictions, from which the cost of every jump of a chain follows.

    Of each of the chain's K steps: a histogram of what the network said of the variance, and one of the squared errors
    of its x_0 over the same bins, `[K, bins]` (a bin stands for its mean: what is neglected is of second order); the
    decoder's cost for a range of variances, `[K, bins, nodes]`.
    UserError for networks that predict the mean of x_{t-1}, which is the mean of one jump alone.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        if diffusion.parameterization.prediction.is_of_one_chain:
            raise UserError("it is made for one chain, and no other can be planned", field="diffusion.prediction")
        self.diffusion = diffusion
        steps = len(diffusion.schedule)
        bins = diffusion.parameterization.variance.bins.count
        self.count = 0
        self.prior = torch.zeros(steps, dtype=torch.float64)
        self.weight, self.said, self.error, self.error_said = (
            torch.zeros(steps, bins, dtype=torch.float64) for _ in range(4)
        )
        self.nodes = torch.stack([_nodes(diffusion.schedule, t) for t in range(steps)])
        self.decoder = torch.zeros(steps, bins, NODES, dtype=torch.float64)

    @property
    def variances(self) -> list[str]:
        """The names that `costs` takes: the network's own, the fixed ones, and those that follow from its errors."""
        return [MODEL, *(name for name in READINGS if name in VARIANCES), *self.tables]

    @property
    def tables(self) -> list[str]:
        """The names that `error_table` takes; "calibrated" only if the network says something of its variance."""
        return [ANALYTIC, CALIBRATED] if self.weight.shape[1] > 1 else [ANALYTIC]

    def add(self, position: int, x_0: Tensor, x_t: Tensor, output: Tensor, *, clip: Clip = True) -> None:
        """Add a batch `x_0` `[batch, channels, *size]`, diffused to a step, and the network's output there.

        Every step needs the same batches; `count` is how many items the first step has seen.
        """
        diffusion = self.diffusion
        variance = diffusion.parameterization.variance
        step = diffusion.schedule.at_position(position, x_t)
        parts = diffusion.parameterization.split(output, x_t.shape[1])
        reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=clip)
        said = variance.said(parts.variance)
        error = _in_float64((reverse.x_0 - x_0) ** 2).flatten()
        flat = torch.zeros_like(error) if said is None else _in_float64(said).flatten()
        bins = self.weight.shape[1]
        index = variance.bins.index(flat)
        scale = len(x_0) / len(flat)  # so that each item has the weight 1

        def summed(values: Tensor | None) -> Tensor:
            return torch.bincount(index, weights=values, minlength=bins).double().cpu() * scale

        self.weight[position] += summed(None)
        self.said[position] += summed(flat)
        self.error[position] += summed(error)
        self.error_said[position] += summed(error * flat)
        for node, log_variance in enumerate(self.nodes[position].tolist()):
            decoder = Gaussian(reverse.x_0, x_0.new_full((), log_variance))
            bits = diffusion.decoder.log_likelihood(decoder, x_0) / -math.log(2.0)
            self.decoder[position, :, node] += summed(_in_float64(bits).flatten())
        self.prior[position] += float(_in_float64(end_bits(step, x_0)).sum())
        self.count += len(x_0) if position == 0 else 0

    def state(self) -> dict[str, Tensor]:
        """Return all sums by name, for `restore`."""
        return {**{name: getattr(self, name) for name in SUMS}, "count": torch.tensor(self.count)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` gave. UserError for sums of another chain."""
        if any(state[name].shape != getattr(self, name).shape for name in SUMS):
            raise UserError("the sums that were kept are for another chain", field="plan")
        for name in SUMS:
            setattr(self, name, state[name].clone())
        self.count = int(state["count"])

    def error_table(self, name: str) -> ErrorTable:
        """Return the best variances by the step ("analytic"), or by what the network says too ("calibrated")."""
        self._check_count()
        weight, error, decoder = self.weight, self.error, self.decoder
        if name == ANALYTIC:
            weight, error, decoder = (sums.sum(dim=1, keepdim=True) for sums in (weight, error, decoder))
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
            raise UserError("there are no items to plan on", field="count", way="give some")

    def costs(self, name: str = MODEL) -> JumpCosts:
        """Return the cost of every jump in bits/dim, a mean over all items, with the variance of that name."""
        self._check_count()
        steps = len(self.diffusion.schedule)
        own = self.diffusion.parameterization.variance
        table = self.error_table(name) if name in self.tables else None
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
        """Return the costs of the jumps from t to every earlier step, `[t]`, with a variance that is a line."""
        jump = _Jumps.of(self.diffusion.schedule, t)
        sums = (self.weight, self.said, self.error, self.error_said)
        w, said, error, error_said = (column[t] / self.count for column in sums)
        used = w > 0
        w, said, error, error_said = (
            w[used],
            said[used] / w[used],
            error[used],
            error_said[used] / error[used].clamp(min=1e-300),
        )
        spread = variance.spread(jump.log_beta, jump.log_beta_tilde)
        slope, offset = spread.slope[:, None], spread.offset[:, None]
        widths = (torch.exp(jump.log_beta_tilde[:, None] - offset - slope * said) * w).sum(dim=1)
        errors = (torch.exp(-offset - slope * error_said) * error).sum(dim=1) * jump.from_x_0**2
        mean_log = spread.offset + spread.slope * (w * said).sum()
        return 0.5 * (mean_log - jump.log_beta_tilde - 1.0 + widths + errors) / math.log(2.0)

    def _jumps_with(self, t: int, table: ErrorTable) -> Tensor:
        """Return the same where the variance follows from expected errors."""
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
        """Return the decoder's cost where t is the first step, for every second step and last for none, `[K - t]`."""
        schedule = self.diffusion.schedule
        log_beta = torch.log(1.0 - schedule.alpha_bar[t])
        second = _first_log_variances(schedule, t)
        # The fixed variances, large or small, have the second step's beta-tilde at the first one.
        spread = variance.spread(log_beta.expand_as(second) if variance.is_learned else second, second)
        said = self.said[t] / self.weight[t].clamp(min=1e-300)
        return self._decoder(t, spread.offset[:, None] + spread.slope[:, None] * said)

    def _first_with(self, t: int, table: ErrorTable) -> Tensor:
        log_variance = torch.log(table.decoder[t].double()).expand(1, self.weight.shape[1])
        return self._decoder(t, log_variance).expand(len(self.weight) - t)

    def _decoder(self, t: int, log_variances: Tensor) -> Tensor:
        """Return the decoder's cost at step t for log variances by bin, `[choices, bins]` -> `[choices]`."""
        used = self.weight[t] > 0
        return _interpolated(self.decoder[t, used], self.nodes[t], log_variances[:, used]).sum(dim=1) / self.count


class _Jumps(NamedTuple):
    """The jumps from a step to every earlier one, `[t]` each: forward and posterior variance, and the weight of x_0."""

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
    """Return the log beta-tilde that is used at the first step t, for each second step, and last for no second one."""
    first, others = schedule.alpha_bar[t], schedule.alpha_bar[t + 1 :]
    tilde = (1.0 - others / first) * (1.0 - first) / (1.0 - others)
    return torch.log(torch.cat([tilde, (1.0 - first).reshape(1)]))


def _in_float64(values: Tensor) -> Tensor:
    """Convert to float64, on the CPU if the device has no such numbers."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def _groups(weight: Tensor) -> Tensor:
    """Join neighbouring bins until each group holds its part of all elements; return each bin's group, `[bins]`."""
    enough = float(weight.sum()) / GROUPS
    groups, group, held = [], 0, 0.0
    for share in weight.tolist():
        if held >= enough:
            group, held = group + 1, 0.0
        groups.append(group)
        held += share
    if group and held < enough:  # what is left over joins the last group that is large enough
        groups = [min(number, group - 1) for number in groups]
    return torch.tensor(groups)


def _nodes(schedule: NoiseSchedule, t: int) -> Tensor:
    """Return log variances that the decoder may have at step t, evenly spaced, `[nodes]`.

    They reach from well below beta-tilde with the next step as the second, to a little above the variance of noise.
    """
    seconds = _first_log_variances(schedule, t)
    return torch.linspace(float(seconds[0]) - 3.0, float(seconds[-1]) + 1.0, NODES, dtype=torch.float64)


def _cheapest(costs: Tensor, nodes: Tensor) -> Tensor:
    """Return the log variance of least cost of each row `[groups, nodes]`: a parabola's vertex."""
    middle = costs.argmin(dim=1, keepdim=True).clamp(1, len(nodes) - 2)
    left, centre, right = (costs.gather(1, middle + shift)[:, 0] for shift in (-1, 0, 1))
    bend = (left - 2 * centre + right).clamp(min=1e-300)
    shift = (0.5 * (left - right) / bend).clamp(-1.0, 1.0)
    return nodes[middle[:, 0]] + shift * (nodes[1] - nodes[0])


def _interpolated(costs: Tensor, nodes: Tensor, log_variances: Tensor) -> Tensor:
    """Interpolate costs at nodes `[bins, nodes]` at log variances `[choices, bins]` by the cubic through four nodes."""
    places = ((log_variances - nodes[0]) / (nodes[1] - nodes[0])).clamp(0.0, len(nodes) - 1.0)
    left = (places.floor().long() - 1).clamp(0, len(nodes) - 4)
    x = places - left
    rows = torch.arange(len(costs))
    total = torch.zeros_like(x)
    for i in range(4):
        factor = torch.ones_like(x)
        for j in range(4):
            if i != j:
                factor = factor * (x - j) / (i - j)
        total = total + costs[rows, left + i] * factor
    return total
