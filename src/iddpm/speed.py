"""Speed of training, sampling and scoring here, and its share of what the machine can do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iddpm.acceleration import computing_in, set_up
from iddpm.build import build_network
from iddpm.conditions import Condition, conditions_of
from iddpm.config import Config, DatasetSpec
from iddpm.data import ArrayDataset
from iddpm.diffusion import SeededNoise, bound_terms
from iddpm.model import Model
from iddpm.names import Compile, Precision
from iddpm.sampling import SamplerOptions, sample_batches
from iddpm.training import Trainer
from iddpm.training.records import Window

Work = Literal["sampling", "likelihood", "training"]

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

    work: Work
    batch: int
    seconds_a_call: float
    fastest: float
    slowest: float
    share: float
    memory: int

    @property
    def images_per_second(self) -> float:
        """Images through the network a second."""
        return self.batch / self.seconds_a_call


def count_flops(config: Config, spec: DatasetSpec) -> Cost:
    """Counted by torch, operator by operator, on a network without memory."""
    with torch.device("meta"):
        network = build_network(config, spec)
        x, t = torch.zeros(1, *spec.shape), torch.zeros(1, dtype=torch.long)
        conditions = _made_up(conditions_of(config, spec), spec, 1, x.device)
    with FlopCounterMode(display=False) as counter:
        output = network(x, t, conditions)
        forward = counter.get_total_flops()
        output.sum().backward()
    return Cost(forward, counter.get_total_flops())


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
    """Sampling, likelihood and training, each for about `seconds`, on made-up data of the kind `spec`.

    batch_size: None takes what a few seconds allow, at most a training batch.
    """
    most = config.training.microbatch_size or config.training.batch_size
    chosen = batch_size or suitable_batch(most, cost.training, peak)
    model = Model.from_config(config, spec).to(device)
    model.accelerate(calls=10**9, precision=precision, compile=compile, tell=tell)
    works: list[tuple[Work, Callable[[], object], int]] = [
        ("sampling", _sampling(model, chosen), cost.forward),
        ("likelihood", _likelihood(model, chosen), cost.forward),
    ]
    for work, call, flops in works:
        yield _speed(work, call, chosen, flops, peak, device, seconds)
    del model, works
    train = _training(config, spec, device, chosen, precision, compile, tell)
    yield _speed("training", train, chosen, cost.training, peak, device, seconds)


def suitable_batch(most: int, flops: int, peak: Peak) -> int:
    """Return the largest power of two up to `most` whose call takes no more than a couple of seconds."""
    affordable = TURN_SECONDS * EXPECTED_SHARE * peak.convolution / flops
    batch = 1
    while 2 * batch <= min(most, affordable):
        batch *= 2
    return batch


def timed(call: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Seconds of each call, of at least three, after one that is not counted."""
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


def _speed(
    work: Work, call: Callable[[], object], batch: int, flops: int, peak: Peak, device: torch.device, seconds: float
) -> Speed:
    times = timed(call, device, seconds)
    middle = statistics.median(times)
    share = batch * flops / middle / peak.convolution
    return Speed(work, batch, middle, min(times), max(times), share, _peak_memory(device))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _made_up(conditions: Iterable[Condition], spec: DatasetSpec, batch: int, device: torch.device) -> dict[str, Tensor]:
    """Return conditions of made-up items."""
    with torch.device("cpu"):
        labels = None if not spec.class_names else np.zeros(batch, dtype=np.int64)
        items = ArrayDataset(spec, np.zeros((batch, *spec.shape), dtype=np.uint8), labels)
        rows = np.arange(batch)
        values = {c.name: c.from_data(items.batch(rows), items, rows) for c in conditions}
    return {name: value.to(device) for name, value in values.items()}


def _data(spec: DatasetSpec, batch: int, device: torch.device) -> Tensor:
    return (torch.rand(batch, *spec.shape) * 2 - 1).to(device)


def _sampling(model: Model, batch: int) -> Callable[[], object]:
    given = _made_up(model.conditions.values(), model.spec, batch, model.device)

    def again() -> Iterator[object]:
        while True:
            for work in sample_batches(model, batch, SamplerOptions(), given=given, batch_size=batch):
                yield from work

    walk = again()
    return lambda: next(walk)


def _likelihood(model: Model, batch: int) -> Callable[[], object]:
    x_0 = _data(model.spec, batch, model.device)
    predict = model.predict(_made_up(model.conditions.values(), model.spec, batch, model.device))

    def again() -> Iterator[object]:
        while True:
            noise = SeededNoise(range(batch), model.spec.shape, model.device)
            yield from bound_terms(model.diffusion, predict, x_0, noise)

    walk = again()
    return lambda: next(walk)


def _training(
    config: Config,
    spec: DatasetSpec,
    device: torch.device,
    batch: int,
    precision: Precision,
    compile: Compile,
    tell: Callable[[str], None],
) -> Callable[[], object]:
    # As of a long run: what is measured is the speed once it is under way.
    steps = max(10**6, config.training.steps)
    settings = {"batch_size": batch, "precision": precision, "compile": compile, "steps": steps}
    trainer = Trainer.from_config(config.with_changes(training=settings), spec, device=device, tell=tell)
    window = Window(config.diffusion.num_timesteps, device)
    x_0 = _data(spec, batch, torch.device("cpu"))
    conditions = _made_up(trainer.model.conditions.values(), spec, batch, torch.device("cpu"))
    return lambda: window.add(trainer.optimize(trainer.draw(x_0, conditions)))
