"""Quality on few steps: FD and bits/dim against evaluations of the network, for every sampler, variance and stride."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from iddpm.data import Dataset
from iddpm.data.scaling import Levels
from iddpm.diffusion import Diffusion
from iddpm.diffusion.readings import Jacobian, Reading
from iddpm.diffusion.respacing import Stride, kept_timesteps
from iddpm.errors import UserError
from iddpm.evaluation.features import FeatureNetwork
from iddpm.evaluation.images import collect, images_of_model
from iddpm.evaluation.metrics.metric import CONFIDENCE
from iddpm.evaluation.scores import distance
from iddpm.evaluation.statistics import Statistics
from iddpm.few_steps.plan import StoredPlan
from iddpm.model import Model
from iddpm.names import MODEL, READINGS
from iddpm.progress import Work, finish
from iddpm.sampling import SamplerOptions
from iddpm.scoring.whole import ScoringOptions, scoring

WHOLE = "whole"
"""The stride that others are compared with: every step of the chain, or very many."""


@dataclass(frozen=True)
class Setting:
    """One way of sampling. evaluations: of the network for each sample, whichever way they are spent."""

    sampler: str
    variance: str
    stride: str
    evaluations: int

    @property
    def method(self) -> str:
        """Sampler and variance in a word."""
        if self.sampler != "ancestral":
            return self.sampler
        return "learned" if self.variance == MODEL else self.variance

    @property
    def steps(self) -> int:
        """Of the chain: a Jacobian takes another evaluation at each."""
        return self.evaluations // (Jacobian.evaluations if self.variance == "jacobian" else 1)


SOLVERS: tuple[str, ...] = ("ddim", "dpm++", "dpm++sde", "unipc")


STRIDES = ("uniform", "ddim", "quadratic", "planned")


def settings(plan: StoredPlan, counts: Sequence[int], whole: int) -> list[Setting]:
    """Everything that can be tried with so many evaluations each, and first the chain of `whole` steps."""
    variances = [MODEL, "fixed_small", "fixed_large", *plan.tables, "jacobian"]
    methods: list[tuple[str, str]] = [("ancestral", name) for name in variances]
    methods += [(name, MODEL) for name in SOLVERS]
    few = [
        Setting(sampler, variance, stride, count)
        for count, (sampler, variance), stride in product(counts, methods, STRIDES)
    ]
    known = [each for each in few if each.stride != "ddim" or _divides(each.steps, plan.timesteps[-1] + 1)]
    return [Setting("ancestral", MODEL, WHOLE, whole), *known]


def _divides(steps: int, chain: int) -> bool:
    """Whether every n-th step of a chain gives so many."""
    try:
        return bool(kept_timesteps(chain, f"ddim{steps}"))
    except UserError:
        return False


@dataclass(frozen=True)
class Study:
    """What all settings of a model are judged by.

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

    def rounds(self, setting: Setting, drawn: Sequence[Levels] = ()) -> int:
        """How often `judge` yields before it has the row."""
        batches = -(-self.count // self.batch_size) - len(drawn)
        if setting.sampler == "ancestral":
            batches += -(-len(self.held_out) // self.batch_size)
        return batches * setting.steps

    def judge(
        self,
        setting: Setting,
        drawn: Sequence[Levels] = (),
        keep: Callable[[int, Levels], None] = lambda number, batch: None,
    ) -> Work[dict[str, Any]]:
        """Return the row of a table (JSON), after progress for every step of a batch.

        drawn: the first batches that an earlier call gave to `keep`, which is called with the number of every batch of
        samples and the batch.
        """
        variance = self._variance(setting)
        options = SamplerOptions(self._stride(setting, from_noise=True), setting.sampler, reading=variance)
        images = images_of_model(
            self.model,
            options,
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
        row: dict[str, Any] = {
            "method": setting.method,
            "sampler": setting.sampler,
            "variance": setting.variance,
            "stride": setting.stride,
            "evaluations": setting.evaluations,
            "steps": setting.steps,
            "fd": {"value": score.value, "error": score.error},
            "bits": None,
        }
        if setting.sampler == "ancestral":
            scored = self.model.diffusion.strided(self._stride(setting, from_noise=False))
            row["bits"] = yield from self._bits(scored, variance)
        return row

    def uses_plan(self, setting: Setting) -> bool:
        """Whether another plan would give another row."""
        return setting.stride == "planned" or setting.variance in self.plan.tables

    def _bits(self, diffusion: Diffusion, variance: Reading | None) -> Work[dict[str, float]]:
        options = ScoringOptions(seed=self.seed, reading=variance, batch_size=self.batch_size)
        score = yield from scoring(self.model, self.held_out, diffusion, options)
        return {"mean": score.total.mean, "error": score.total.error}

    def _stride(self, setting: Setting, *, from_noise: bool) -> Stride | None:
        if setting.stride == WHOLE:
            return str(setting.steps)
        if setting.stride == "planned":
            return self.plan.chain(setting.steps, setting.variance, from_noise=from_noise)
        return f"{'' if setting.stride == 'uniform' else setting.stride}{setting.steps}"

    def _variance(self, setting: Setting) -> Reading | None:
        if setting.variance == MODEL:
            return None
        if setting.variance == "jacobian":
            return Jacobian(self.seed)
        table = self.plan.tables.get(setting.variance)
        return READINGS[setting.variance]() if table is None else table


def _kept(batches: Iterator[Work[Levels]], first: int, keep: Callable[[int, Levels], None]) -> Iterator[Work[Levels]]:
    """Yield the same work, which calls `keep` with the number and the batch from the `first` one on."""

    def kept(number: int, work: Work[Levels]) -> Work[Levels]:
        batch = yield from work
        keep(number, batch)
        return batch

    for number, work in enumerate(batches):
        yield work if number < first else kept(number, work)


def within(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Settings of few steps whose FD is not above the 95 % interval of the whole chain's."""
    whole = next(row for row in rows if row["stride"] == WHOLE)
    most = whole["fd"]["value"] + CONFIDENCE * whole["fd"]["error"]
    return [row for row in rows if row["stride"] != WHOLE and row["fd"]["value"] <= most]


def cheapest(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The setting of fewest evaluations whose FD is within the 95 % interval of the whole chain's, if there is one."""
    return min(within(rows), key=lambda row: (row["evaluations"], row["fd"]["value"]), default=None)
