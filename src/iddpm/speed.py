"""Speed of training, sampling and scoring here, and its share of what the machine can do."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from iddpm.acceleration import computing_in, set_up
from iddpm.build import build_network
from iddpm.conditions import conditions_of
from iddpm.config import Config, DatasetSpec
from iddpm.data import ArrayDataset, Dataset
from iddpm.model import Model
from iddpm.names import Compile, Precision
from iddpm.sampling import SamplerOptions, given_from, sample_batches
from iddpm.scoring.whole import ScoringOptions, scoring
from iddpm.training import Trainer
from iddpm.training.records import Window

Kind = Literal["sampling", "likelihood", "training"]

TURN_SECONDS = 2.0
"""A batch is made so large that a call takes about so long at most."""
EXPECTED_SHARE = 0.5
"""Share of the convolution peak that is assumed to choose that batch."""


@dataclass(frozen=True)
class Peak:
    """The most that torch reaches on a device, in FLOP/s: a product of large matrices, and a 3x3 convolution."""

    matrix_product: float
    convolution: float


@dataclass(frozen=True)
class Cost:
    """The cost of one item: FLOPs of a forward pass, and of a forward and a backward one (2 for a multiply-add)."""

    forward: int
    training: int


@dataclass(frozen=True)
class Speed:
    """One kind of work. A call is one step of the chain for the batch, or one step of training.

    share: of the convolution peak. memory: bytes at the peak so far, of the process or on the GPU.
    """

    work: Kind
    batch: int
    seconds_a_call: float
    fastest: float
    slowest: float
    share: float
    memory: int

    @property
    def images_per_second(self) -> float:
        """Items through the network a second."""
        return self.batch / self.seconds_a_call


def count_flops(config: Config, spec: DatasetSpec) -> Cost:
    """Count operator by operator, by torch, on a network that takes no memory."""
    conditions, items = conditions_of(config, spec), made_up(spec, 1)
    x_0, rows = items.batch(np.arange(1)), np.arange(1)
    values = {condition.name: condition.from_data(x_0, items, rows).to("meta") for condition in conditions}
    with torch.device("meta"):
        network = build_network(config, spec, conditions)
    with FlopCounterMode(display=False) as counter:
        output = network(x_0.to("meta"), torch.zeros(1, dtype=torch.long, device="meta"), values)
        forward = counter.get_total_flops()
        output.sum().backward()
    return Cost(forward, counter.get_total_flops())


def made_up(spec: DatasetSpec, count: int) -> ArrayDataset:
    """Return random items of a kind, all of one class."""
    items = np.random.default_rng(0).integers(0, spec.levels, (count, *spec.shape), dtype=np.uint16)
    return ArrayDataset(spec, items, np.zeros(count, dtype=np.int64) if spec.class_names else None)


def measure_peak(device: torch.device, precision: Precision) -> Peak:
    """Measure the peak in the precision that the network computes in."""
    set_up(device, precision)
    large = device.type == "cuda"
    side, images = (8192, 512) if large else (2048, 64)
    a = torch.randn(side, side, device=device)
    filters = nn.Conv2d(128, 128, 3, padding=1).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(images, 128, 16, 16, device=device).to(memory_format=torch.channels_last)
    with torch.no_grad(), computing_in(precision, device):
        product = min(timed(lambda: a @ a, device, 1.0))
        convolution = min(timed(lambda: filters(x), device, 1.0))
    return Peak(2 * side**3 / product, 2 * 9 * 128 * 128 * images * 16 * 16 / convolution)


def measure_speed(
    config: Config,
    spec: DatasetSpec,
    device: torch.device,
    *,
    precision: Precision = "auto",
    compile: Compile = "auto",
    batch_size: int | None = None,
    seconds: float = 5.0,
    peak: Peak,
    cost: Cost,
    tell: Callable[[str], None],
) -> Iterator[Speed]:
    """Measure sampling, likelihood and training, each for about `seconds`, on made-up data of the kind `spec`.

    batch_size: None takes what a few seconds allow, at most a training batch.
    """
    most = config.training.microbatch_size or config.training.batch_size
    batch = batch_size or suitable_batch(most, cost.training, peak)
    items = made_up(spec, batch)

    def measured(kind: Kind, call: Callable[[], object], flops: int) -> Speed:
        times = timed(call, device, seconds)
        middle = statistics.median(times)
        share = batch * flops / middle / peak.convolution
        return Speed(kind, batch, middle, min(times), max(times), share, _peak_memory(device))

    model = Model.from_config(config, spec).to(device)
    model.accelerate(calls=10**9, precision=precision, compile=compile, tell=tell)
    yield measured("sampling", _step_by_step(partial(_sampling, model, items)), cost.forward)
    yield measured("likelihood", _step_by_step(partial(_likelihood, model, items)), cost.forward)
    del model
    # A long run's: what is measured is the speed once it is under way.
    settings = {"batch_size": batch, "precision": precision, "compile": compile, "steps": 10**9}
    trainer = Trainer.from_config(config.with_changes(training=settings), spec, device=device, tell=tell)
    yield measured("training", _training(trainer, items), cost.training)


def suitable_batch(most: int, flops: int, peak: Peak) -> int:
    """Return the largest power of two up to `most` whose call takes no more than a couple of seconds."""
    affordable = TURN_SECONDS * EXPECTED_SHARE * peak.convolution / flops
    batch = 1
    while 2 * batch <= min(most, affordable):
        batch *= 2
    return batch


def timed(call: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Return the seconds of each call, of at least three, after one that is not counted."""
    call()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 10_000):
        _wait(device)
        begun = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - begun)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource  # not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _step_by_step(begin: Callable[[], Iterable[object]]) -> Callable[[], object]:
    """Return a call that takes one more step of some work, which is begun again whenever it ends."""
    steps = itertools.chain.from_iterable(begin() for _ in itertools.count())
    return lambda: next(steps)


def _sampling(model: Model, items: Dataset) -> Iterator[object]:
    given, batch = given_from(model, items, len(items)), len(items)
    for work in sample_batches(model, batch, SamplerOptions(), given=given, batch_size=batch):
        yield from work


def _likelihood(model: Model, items: Dataset) -> Iterator[object]:
    return scoring(model, items, model.diffusion, ScoringOptions(batch_size=len(items)))


def _training(trainer: Trainer, items: Dataset) -> Callable[[], object]:
    window, rows = Window(len(trainer.diffusion.schedule), trainer.device), np.arange(len(items))
    x_0 = items.batch(rows)
    conditions = trainer.model.conditions_from(x_0, items, rows)
    return lambda: window.add(trainer.optimize(trainer.draw(x_0, conditions)))
