"""Which few of a chain's steps to keep, chosen by the bound itself (Watson et al. 2021).

A chain on fewer steps jumps from t straight to s. What a jump adds to the bound depends on t, s and the prediction at t
alone, so one pass over data gives the cost of every jump, and dynamic programming the cheapest chain of every length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from iddpm.diffusion.gaussian import Gaussian
from iddpm.diffusion.likelihood import end_bits, mean_over_elements
from iddpm.diffusion.parameterization import FixedLarge, Learned, LearnedRange, Previous, Variance
from iddpm.diffusion.process import Diffusion
from iddpm.diffusion.reverse import reverse_step
from iddpm.diffusion.schedule import NoiseSchedule
from iddpm.errors import UserError

BINS = 512
"""Of a network's variances at one step; a bin stands for its mean, so what is neglected is of second order."""
RANGES: dict[type[Variance], tuple[float, float]] = {LearnedRange: (-1.0, 2.0), Learned: (-24.0, 4.0)}

SUMS = ("prior", "weight", "said", "error", "error_said")


@dataclass(frozen=True)
class Spread:
    """How a log variance of the reverse process follows from what the network says, `said`: offset + slope * said."""

    offset: Tensor
    slope: Tensor


def _said(variance: Variance, part: Tensor | None) -> Tensor | None:
    """The network's word on the variance, whatever the chain: the fraction of Eq. 15, or the log variance itself."""
    if isinstance(variance, LearnedRange) and part is not None:
        return (part + 1.0) / 2.0
    return part if isinstance(variance, Learned) else None


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
    of its x_0 over the same bins, `[K, bins]`; the decoder's cost for a range of second steps, `[K, nodes]`.
    UserError for networks that predict the mean of x_{t-1}, which is the mean of one jump alone.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        if isinstance(diffusion.parameterization.prediction, Previous):
            raise UserError("prediction: x_prev is made for one chain; only eps, x_0 and v can be planned with")
        self.diffusion = diffusion
        steps = len(diffusion.schedule)
        self._range = RANGES.get(type(diffusion.parameterization.variance), (0.0, 1.0))
        bins = BINS if diffusion.parameterization.variance.is_learned else 1
        self.count = 0
        self.prior = torch.zeros(steps, dtype=torch.float64)
        self.weight, self.said, self.error, self.error_said = (
            torch.zeros(steps, bins, dtype=torch.float64) for _ in range(4)
        )
        self.nodes = [_second_steps(position, steps) for position in range(steps)]
        self.decoder = [torch.zeros(len(nodes) + 1, dtype=torch.float64) for nodes in self.nodes]

    def add(self, position: int, x_0: Tensor, x_t: Tensor, output: Tensor, *, clip: bool = True) -> None:
        """A batch `x_0` `[batch, channels, *size]`, diffused to the step at `position`, and the network's output there.

        Every step needs the same batches; `count` is how many items the first step has seen.
        """
        diffusion = self.diffusion
        step = diffusion.schedule.at_position(position, x_t)
        parts = diffusion.parameterization.split(output, x_t.shape[1])
        reverse = reverse_step(step, diffusion.parameterization, output, x_t, clip=clip)
        said = _said(diffusion.parameterization.variance, parts.variance)
        error = ((reverse.x_0 - x_0) ** 2).flatten().double()
        flat = torch.zeros_like(error) if said is None else said.flatten().double()
        low, high = self._range
        bins = self.weight.shape[1]
        index = ((flat - low) * (bins / (high - low))).long().clamp(0, bins - 1)
        scale = len(x_0) / len(flat)  # so that each item has the weight 1
        for sums, values in (
            (self.weight, torch.ones_like(flat)),
            (self.said, flat),
            (self.error, error),
            (self.error_said, error * flat),
        ):
            found = torch.zeros(bins, dtype=torch.float64, device=flat.device).index_add_(0, index, values)
            sums[position] += found.cpu() * scale
        self._add_decoder(position, x_0, reverse.x_0, said)
        self.prior[position] += float(end_bits(step, x_0).double().sum())
        self.count += len(x_0) if position == 0 else 0

    def _add_decoder(self, position: int, x_0: Tensor, predicted: Tensor, said: Tensor | None) -> None:
        """The bits of x_0 when this is the chain's first step: its variance depends on which step is the second."""
        variance, levels = self.diffusion.parameterization.variance, self.diffusion.levels
        log_beta = torch.log(1.0 - self.diffusion.schedule.alpha_bar[position])
        for node, log_variance in enumerate(
            _first_log_variances(self.diffusion.schedule, position, self.nodes[position])
        ):
            # The fixed variances, large or small, have the second step's beta-tilde at the first one.
            spread = _spread(variance, log_beta if isinstance(variance, LearnedRange) else log_variance, log_variance)
            offset, slope = float(spread.offset), float(spread.slope)
            log = torch.full_like(predicted, offset) if said is None else offset + slope * said
            bits = mean_over_elements(Gaussian(predicted, log).discretized_log_likelihood(x_0, levels)) / -math.log(2.0)
            self.decoder[position][node] += float(bits.double().sum())

    def state(self) -> dict[str, Tensor]:
        """All sums by name, for `restore`."""
        sums = {name: getattr(self, name) for name in SUMS}
        return {**sums, "decoder": torch.cat(self.decoder), "count": torch.tensor(self.count)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave. UserError for sums of another chain."""
        sizes = [len(nodes) for nodes in self.decoder]
        if state["weight"].shape != self.weight.shape or len(state["decoder"]) != sum(sizes):
            raise UserError("plan: what was kept is of another chain")
        for name in SUMS:
            setattr(self, name, state[name].clone())
        self.decoder = list(torch.split(state["decoder"].clone(), sizes))
        self.count = int(state["count"])

    def costs(self) -> JumpCosts:
        """The cost of every jump in bits/dim, a mean over all items."""
        if not self.count:
            raise UserError("plan: there is nothing to plan on; give some items")
        schedule, variance = self.diffusion.schedule, self.diffusion.parameterization.variance
        alpha_bar = schedule.alpha_bar
        steps = len(schedule)
        jumps = torch.full((steps, steps), torch.inf, dtype=torch.float64)
        decoder = torch.full((steps, steps), torch.inf, dtype=torch.float64)
        alone = torch.empty(steps, dtype=torch.float64)
        weight, error = self.weight / self.count, self.error / self.count
        said = self.said / self.weight.clamp(min=1e-300)
        error_said = self.error_said / self.error.clamp(min=1e-300)
        for t in range(steps):
            nodes = self.decoder[t] / self.count
            known = _first_log_variances(schedule, t, self.nodes[t])
            seconds = list(range(t + 1, steps))
            wanted = _first_log_variances(schedule, t, seconds)
            decoder[t, t + 1 :] = _interpolated(known, nodes, wanted[:-1])
            alone[t] = nodes[-1]
            if t == 0:
                continue
            used = weight[t] > 0
            before = alpha_bar[:t]
            beta = 1.0 - alpha_bar[t] / before
            log_tilde = torch.log(beta * (1.0 - before) / (1.0 - alpha_bar[t]))
            spread = _spread(variance, torch.log(beta), log_tilde)
            from_x_0 = beta * before.sqrt() / (1.0 - alpha_bar[t])
            w, g, e, h = (table[t, used] for table in (weight, said, error, error_said))
            slope, offset = spread.slope[:, None], spread.offset[:, None]
            widths = (torch.exp(log_tilde[:, None] - offset - slope * g) * w).sum(dim=1)
            errors = (torch.exp(-offset - slope * h) * e).sum(dim=1) * from_x_0**2
            mean_log = spread.offset + spread.slope * (w * g).sum()
            jumps[t, :t] = 0.5 * (mean_log - log_tilde - 1.0 + widths + errors) / math.log(2.0)
        return JumpCosts(jumps, decoder, alone, self.prior / self.count)


def _second_steps(position: int, steps: int) -> list[int]:
    """Second steps at which the decoder's cost is worked out: the next ones, and then ever fewer."""
    distances, distance = [], 1
    while position + distance < steps:
        distances.append(distance)
        distance = max(distance + 1, round(distance * 1.4))
    if distances and position + distances[-1] != steps - 1:
        distances.append(steps - 1 - position)
    return [position + distance for distance in distances]


def _first_log_variances(schedule: NoiseSchedule, position: int, seconds: list[int]) -> Tensor:
    """log beta-tilde that stands in at the first step `position`, for each second step, and last for no second one."""
    alpha_bar = schedule.alpha_bar
    first, others = alpha_bar[position], alpha_bar[seconds]
    tilde = (1.0 - others / first) * (1.0 - first) / (1.0 - others)
    return torch.log(torch.cat([tilde, (1.0 - first).reshape(1)]))


def _interpolated(known: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """The cubic through the four known points around each wanted one (fewer where there are no four)."""
    order = min(4, len(known))
    left = torch.searchsorted(known, wanted).sub(order // 2).clamp(0, len(known) - order)
    places = left[:, None] + torch.arange(order)
    x, y = known[places], values[places]
    found = torch.zeros_like(wanted)
    for i in range(order):
        factor = torch.ones_like(wanted)
        for j in range(order):
            if i != j:
                factor = factor * (wanted - x[:, j]) / (x[:, i] - x[:, j])
        found = found + y[:, i] * factor
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
        inner = sum(float(self.jumps[t, s]) for s, t in pairwise(positions))
        return float(self.decoder[first, positions[1]]) + inner + float(self.prior[last])

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

    def positions(self, count: int) -> list[int]:
        """The increasing positions of the chain of `count` steps. UserError for a length that was not planned."""
        if not 1 <= count <= len(self):
            raise UserError(f"steps: the plan has chains of 1 ... {len(self)} steps, asked for {count}")
        found = [int(self.last[count - 1])]
        for length in range(count, 1, -1):
            found.append(int(self.before[length - 1, found[-1]]))
        return found[::-1]
