"""Making a plan: one pass over held-out items, and the best chains by what it has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from iddpm.data import Dataset
from iddpm.diffusion import Diffusion, SeededNoise, diffuse
from iddpm.diffusion.jumps import JumpCosts
from iddpm.diffusion.planning import JumpStatistics
from iddpm.diffusion.randomness import mixed_seed
from iddpm.diffusion.respacing import kept_timesteps, named_stride, quadratic
from iddpm.diffusion.reverse import Clip
from iddpm.errors import UserError
from iddpm.few_steps.kept import KeptSums
from iddpm.few_steps.plan import StoredPlan, subject_of
from iddpm.model import Model
from iddpm.names import MODEL, STRIDES
from iddpm.progress import Progress, Work, finish
from iddpm.scoring.whole import check_fits

COUNT = 256
"""Items to plan on, unless a user says otherwise."""
LONGEST = 1000
"""The longest chain to plan, unless a user says otherwise: more steps are hardly few, and every length takes time."""


@dataclass(frozen=True)
class PlanOptions:
    """The way a plan is made.

    count:      plan on the first so many items; None takes 256, or half of them if that is fewer.
    candidates: choose from so many steps of the chain, closer at the data's end; None chooses from all.
    longest:    the longest chain to plan; None plans up to 1,000 steps.
    seed:       item i's noise comes from a generator seeded with (seed, i).
    clip:       bound predictions of x_0, as sampling and scoring with the plan will do; see `diffusion.reverse`.
    """

    count: int | None = None
    candidates: int | None = None
    longest: int | None = None
    seed: int = 0
    clip: Clip = True
    batch_size: int = 64


def plan(
    model: Model,
    dataset: Dataset,
    *,
    count: int | None = None,
    candidates: int | None = None,
    longest: int | None = None,
    seed: int = 0,
    clip: Clip = True,
    batch_size: int = 64,
) -> StoredPlan:
    """Return the best few steps of a model's chain by the bound itself, for every number of steps at once.

    dataset: items that the model was not trained on. See `PlanOptions` for the others.
    """
    return finish(Planning(model, dataset, PlanOptions(count, candidates, longest, seed, clip, batch_size)).work())


@dataclass(frozen=True)
class Planning:
    """A plan to be made. UserError for options that the model or the dataset does not allow.

    origin: where the dataset is from (JSON), which the plan will say.
    """

    model: Model
    dataset: Dataset
    options: PlanOptions
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fits(self.model, self.dataset)
        limits = {
            "count": (1, len(self.dataset), "the items to plan on"),
            "candidates": (2, len(self.model.diffusion.schedule), "the length of the chain"),
            "longest": (1, self.options.candidates or len(self.model.diffusion.schedule), "the steps to choose from"),
        }
        for name, (least, most, what) in limits.items():
            value = getattr(self.options, name)
            if value is not None and not least <= value <= most:
                raise UserError(f"must be {least} ... {most}, {what}", field=name, value=value)

    @property
    def count(self) -> int:
        """The number of items to plan on."""
        return min(COUNT, -(-len(self.dataset) // 2)) if self.options.count is None else self.options.count

    @cached_property
    def diffusion(self) -> Diffusion:
        """The steps to choose from.

        If they are some of a longer chain, they are closer at the data's end, where the bound's terms change fastest:
        evenly spaced ones leave out just the steps that cost most to do without.
        """
        wanted, whole = self.options.candidates, self.model.diffusion
        if wanted is None or wanted == len(whole.schedule):
            return whole
        return whole.strided(tuple(quadratic(len(whole.schedule), wanted)))

    @property
    def longest(self) -> int:
        """The longest chain to plan."""
        return min(self.options.longest or LONGEST, len(self.diffusion.schedule))

    @property
    def calls(self) -> int:
        """The number of evaluations of the network."""
        return -(-self.count // self.options.batch_size) * len(self.diffusion.schedule)

    @cached_property
    def subject(self) -> dict[str, Any]:
        """Subject of the plan: see `subject_of`."""
        return subject_of(self.model, clip=self.options.clip)

    @property
    def about(self) -> dict[str, Any]:
        """Way the plan is made, as JSON."""
        return {
            **self.origin,
            "count": self.count,
            "seed": self.options.seed,
            "candidates": len(self.diffusion.schedule),
            "precision": self.model.precision,
        }

    def is_done_by(self, stored: StoredPlan) -> bool:
        """Tell whether a plan is what this would make, or the same for longer chains too."""
        is_same = (stored.subject, stored.about) == (self.subject, self.about)
        return is_same and stored.longest >= self.longest and bool(stored.strides)

    def work(self, kept: KeptSums | None = None) -> Work[StoredPlan]:
        """Make the plan. kept: has what an earlier, interrupted call has done, and is given every batch's sums."""
        statistics = JumpStatistics(self.diffusion)
        if kept is not None:
            kept.restore(statistics)
        yield from jump_statistics(
            self.model,
            self.dataset,
            statistics,
            count=self.count,
            seed=self.options.seed,
            clip=self.options.clip,
            batch_size=self.options.batch_size,
            keep=_forget if kept is None else kept.keep,
        )
        plans, names = {}, statistics.variances
        for number, name in enumerate(names):
            yield Progress("choosing steps", number, len(names))
            costs = statistics.costs(name)
            plans[name] = costs.plan(self.longest)
            if name == MODEL:
                strides = self._strides(costs)
        tables = {name: statistics.error_table(name) for name in statistics.tables}
        timesteps = self.diffusion.schedule.timesteps.tolist()
        return StoredPlan(self.subject, self.about, timesteps, plans, tables, strides)

    def _strides(self, costs: JumpCosts) -> dict[str, list[float | None]]:
        """Return the bound of every stride for 1, 2 ... steps, which planned chains are compared with."""
        counts, whole = range(1, self.longest + 1), len(self.model.diffusion.schedule)
        timesteps = self.diffusion.schedule.timesteps.numpy()
        return {
            name: [_stride_bound(costs, timesteps, whole, named_stride(name, n)) for n in counts] for name in STRIDES
        }


def _forget(statistics: JumpStatistics) -> None:
    """Keep nothing."""


def jump_statistics(
    model: Model,
    dataset: Dataset,
    statistics: JumpStatistics,
    *,
    count: int,
    seed: int = 0,
    clip: Clip = True,
    batch_size: int = 64,
    keep: Callable[[JumpStatistics], object] = _forget,
) -> Work[None]:
    """Add the first `count` items of a dataset to `statistics`, whose chain is `model`'s or part of it.

    keep: called after every batch with the statistics: a later call with them, restored, goes on where they were.
    Item i has one noise, the same at every step, from a generator seeded with (seed, i): what a plan compares are
    chains, and noise that they share does not tell neighbouring steps apart.
    """
    schedule = statistics.diffusion.schedule
    done, calls = (-(-items // batch_size) * len(schedule) for items in (statistics.count, count))
    yield Progress("planning", done, calls)
    for start in range(statistics.count, count, batch_size):
        rows = np.arange(start, min(start + batch_size, count))
        x_0 = dataset.batch(rows).to(model.device)
        predict = model.predict(model.conditions_from(x_0, dataset, rows))
        noise = SeededNoise([mixed_seed(seed, int(row)) for row in rows], dataset.spec.shape, model.device)()
        for position in reversed(range(len(schedule))):
            x_t = diffuse(schedule.at_position(position, x_0), x_0, noise)
            with torch.no_grad():
                output = predict(x_t, schedule.timestep(position, x_0.device))
            statistics.add(position, x_0, x_t, output, clip=clip)
            if position == 0:
                keep(statistics)
            done += 1
            yield Progress("planning", done, calls)


def _stride_bound(costs: JumpCosts, candidates: Any, whole: int, stride: str) -> float | None:
    """Return the bound of a stride of the whole chain, or of the candidates nearest to its steps.

    None if there is no such stride, or if two of its steps have one nearest candidate.
    """
    try:
        steps = np.array(kept_timesteps(whole, stride))
    except UserError:
        return None
    above = np.searchsorted(candidates, steps).clip(0, len(candidates) - 1)
    below = (above - 1).clip(0)
    nearest = np.where(steps - candidates[below] <= candidates[above] - steps, below, above)
    return costs.bound(nearest.tolist()) if len(np.unique(nearest)) == len(steps) else None
