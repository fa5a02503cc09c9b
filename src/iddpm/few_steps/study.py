"""Quality on few steps: FD and bits/dim against evaluations of the network, for every sampler, variance and stride."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

from iddpm.data import Dataset
from iddpm.data.scaling import Levels
from iddpm.diffusion.readings import Reading, reading_named
from iddpm.diffusion.respacing import Stride, kept_timesteps, named_stride
from iddpm.errors import UserError
from iddpm.evaluation.features import FeatureNetwork
from iddpm.evaluation.images import collect, images_of_model
from iddpm.evaluation.metrics.metric import CONFIDENCE
from iddpm.evaluation.scores import distance
from iddpm.evaluation.statistics import Statistics
from iddpm.few_steps.kept import KeptStudy
from iddpm.few_steps.plan import StoredPlan, name_of
from iddpm.model import Model
from iddpm.names import MODEL, PLANNED, READINGS, SAMPLERS, STRIDES, VARIANCES
from iddpm.progress import Progress, Work, finish
from iddpm.sampling import SamplerOptions
from iddpm.scoring.whole import ScoringOptions, scoring

WHOLE = "whole"
"""The stride that others are compared with: every step of the chain, or very many."""
Row = dict[str, Any]
"""The row of a setting in a table, as JSON: what `Study.judge` returns."""


@dataclass(frozen=True)
class Setting:
    """One way of sampling.

    method: sampler and variance in a word. variance: "model" is the network's own. evaluations: of the network for each
    sample, whichever way they are spent.
    """

    method: str
    sampler: str
    variance: str
    stride: str
    evaluations: int

    @property
    def steps(self) -> int:
        """The number of steps: some variances take more than one evaluation at each."""
        per_step: int = READINGS.fact(self.variance, "evaluations", 1) if self.variance != MODEL else 1
        return self.evaluations // per_step

    @property
    def has_bound(self) -> bool:
        """True if the sampler draws from p(x_{t-1} | x_t), whose bits/dim can be scored."""
        return bool(SAMPLERS.fact(self.sampler, "uses_variance", False))


def own_variance(model: Model) -> str:
    """Return the name of the variance that the model has: "learned", or that of the fixed one."""
    variance = model.diffusion.parameterization.variance
    return "learned" if variance.is_learned else name_of(VARIANCES, variance)


def settings(model: Model, plan: StoredPlan, counts: Sequence[int], whole: int) -> list[Setting]:
    """Return all ways to spend so many evaluations, and before them the chain of `whole` steps."""
    own = own_variance(model)
    variances = {own: MODEL}
    for name in READINGS:
        if name != own and (name in plan.tables or not READINGS.fact(name, "planned", False)):
            variances[name] = name
    methods = []
    for sampler in SAMPLERS:
        if not SAMPLERS.fact(sampler, "uses_variance", False):
            methods.append((sampler, sampler, MODEL))
        elif sampler == SamplerOptions.sampler:
            methods += [(name, sampler, variance) for name, variance in variances.items()]
        else:
            methods += [(f"{sampler}, {name}", sampler, variance) for name, variance in variances.items()]
    few = [Setting(*method, stride, count) for count, method, stride in product(counts, methods, [*STRIDES, PLANNED])]
    chain = len(model.diffusion.schedule)
    possible = [setting for setting in few if setting.stride == PLANNED or _exists(setting, chain)]
    return [Setting(own, SamplerOptions.sampler, MODEL, WHOLE, whole), *possible]


def _exists(setting: Setting, chain: int) -> bool:
    """Tell whether the setting's stride has so many steps of the chain."""
    try:
        return bool(kept_timesteps(chain, named_stride(setting.stride, setting.steps)))
    except UserError:
        return False


@dataclass(frozen=True)
class Study:
    """The standard by which all settings of a model are judged.

    real: statistics of the data that samples are compared with, in the features of `network`. held_out: the data that
    is scored, all of it, for the samplers that have a likelihood.
    """

    model: Model
    plan: StoredPlan
    network: FeatureNetwork
    real: Statistics
    held_out: Dataset
    count: int
    seed: int = 0
    batch_size: int = 128
    given: Mapping[str, Any] = field(default_factory=dict)

    def judging(self, wanted: Sequence[Setting], kept: KeptStudy) -> Work[list[Row]]:
        """Return a row for every setting: those that are kept, and the others, judged and then kept."""
        new = [setting for setting in wanted if kept.row(setting) is None]
        done, total = 0, sum(self.rounds(setting, kept.drawn(setting)) for setting in new)
        yield Progress("judging", done, total)
        for setting in new:
            drawn = kept.drawn(setting)
            what = f"judging: {setting.method}, {setting.stride}, {setting.evaluations} evaluations"
            row = yield from _counted(self.judge(setting, drawn, partial(kept.keep, setting)), what, done, total)
            kept.add(setting, row)
            done += self.rounds(setting, drawn)
        return [kept.row(setting) or {} for setting in wanted]

    def rounds(self, setting: Setting, drawn: Sequence[Levels] = ()) -> int:
        """Return how often `judge` yields before it has the row."""
        batches = -(-self.count // self.batch_size) - len(drawn)
        if setting.has_bound:
            batches += -(-len(self.held_out) // self.batch_size)
        return batches * setting.steps

    def judge(
        self,
        setting: Setting,
        drawn: Sequence[Levels] = (),
        keep: Callable[[int, Levels], None] = lambda number, batch: None,
    ) -> Work[Row]:
        """Return the row of a setting, after progress for every step of a batch.

        drawn: the first batches that an earlier call gave to `keep`, which is called with the number of every batch of
        samples and the batch.
        """
        reading = self._reading(setting)
        images = images_of_model(
            self.model,
            SamplerOptions(self._stride(setting, from_noise=True), setting.sampler, reading=reading),
            {"source": "the model"},
            count=self.count,
            seed=self.seed,
            given=self.given,
            batch_size=self.batch_size,
            drawn=drawn,
        )
        images = replace(images, batches=_kept(images.batches, len(drawn), keep))
        samples = yield from collect(images, self.network)
        score = finish(distance(samples, self.real))
        row: Row = {
            "method": setting.method,
            "sampler": setting.sampler,
            "variance": setting.variance,
            "stride": setting.stride,
            "evaluations": setting.evaluations,
            "steps": setting.steps,
            "fd": {"value": score.value, "error": score.error},
            "bits": None,
        }
        if setting.has_bound:
            scored = self.model.diffusion.strided(self._stride(setting, from_noise=False))
            options = ScoringOptions(seed=self.seed, reading=reading, batch_size=self.batch_size)
            bound = yield from scoring(self.model, self.held_out, scored, options)
            row["bits"] = {"mean": bound.total.mean, "error": bound.total.error}
        return row

    def uses_plan(self, setting: Setting) -> bool:
        """Tell whether another plan would give another row."""
        return setting.stride == PLANNED or setting.variance in self.plan.tables

    def _stride(self, setting: Setting, *, from_noise: bool) -> Stride | None:
        if setting.stride == WHOLE:
            return str(setting.steps)
        if setting.stride == PLANNED:
            return self.plan.chain(setting.steps, setting.variance, from_noise=from_noise)
        return named_stride(setting.stride, setting.steps)

    def _reading(self, setting: Setting) -> Reading | None:
        if setting.variance == MODEL:
            return None
        return self.plan.tables.get(setting.variance) or reading_named(setting.variance, seed=self.seed)


def _counted(work: Work[Row], what: str, done: int, total: int) -> Work[Row]:
    """Do work as a part of larger work, of which `done` was done before it."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            row: Row = stop.value
            return row
        done += 1
        yield Progress(what, done, total)


def _kept(batches: Iterator[Work[Levels]], first: int, keep: Callable[[int, Levels], None]) -> Iterator[Work[Levels]]:
    """Yield the same work, which calls `keep` with the number and the batch from the `first` one on."""

    def kept(number: int, work: Work[Levels]) -> Work[Levels]:
        batch = yield from work
        keep(number, batch)
        return batch

    for number, work in enumerate(batches):
        yield work if number < first else kept(number, work)


def within(rows: list[Row]) -> list[Row]:
    """Return the settings of few steps whose FD is not above the 95 % interval of the whole chain's."""
    whole = next(row for row in rows if row["stride"] == WHOLE)
    most = whole["fd"]["value"] + CONFIDENCE * whole["fd"]["error"]
    return [row for row in rows if row["stride"] != WHOLE and row["fd"]["value"] <= most]


def cheapest(rows: list[Row]) -> Row | None:
    """Return the setting of fewest evaluations whose FD is within the 95 % interval of the whole chain's, if any."""
    return min(within(rows), key=lambda row: (row["evaluations"], row["fd"]["value"]), default=None)
