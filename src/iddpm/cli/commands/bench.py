"""`iddpm bench PRESET|CONFIG|RUN`: how fast this machine trains, samples and scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from iddpm.cli.arguments import check_least, parsed
from iddpm.cli.commands.train import start_of
from iddpm.cli.progress import duration, say
from iddpm.errors import Setting, UserError
from iddpm.names import Compile, Precision
from iddpm.presets import PRESETS

if TYPE_CHECKING:
    from iddpm.config import Config
    from iddpm.speed import Cost, Peak, Speed

SAMPLES = 64


@dataclass(frozen=True)
class BenchArguments:
    """What to measure, and how."""

    what: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="PRESET|CONFIG|RUN")]]
    """A preset, a configuration file or a run."""
    batch_size: int | None = None
    """Images at once. None takes what a few seconds allow, at most a training batch."""
    seconds: float = 5.0
    """How long each kind of work is measured for."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """What the network computes in: auto as training chooses it."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU."""
    json: bool = False
    """Print one JSON object."""


def run(words: Sequence[str]) -> int:
    """Measure speed; return the exit code."""
    description = f"Measure speed on made-up data of a configuration's kind. Presets: {', '.join(PRESETS)}."
    with parsed(BenchArguments, words, command="bench", description=description) as arguments:
        return _run(arguments)


def _run(arguments: BenchArguments) -> int:
    check_least(arguments, batch_size=1)
    if not 0 < arguments.seconds <= 3600:
        raise UserError("must be more than 0 and at most 3600", field="seconds", value=arguments.seconds)
    config, _, spec = start_of(arguments.what)
    spec = spec or config.data.expected_spec()
    if spec is None:
        way = ("use a run, whose data is known, or a configuration with ", Setting("data.size"), " and data.channels")
        raise UserError(f"{arguments.what}: does not state the size of its data", way=way)

    import torch

    from iddpm.acceleration import choose_device, chosen_precision
    from iddpm.kernels.library import unavailable
    from iddpm.speed import count_flops, measure_peak, measure_speed

    device = choose_device(arguments.device)
    precision = chosen_precision(arguments.precision, device, training=True)
    kernels = unavailable() if device.type == "cpu" else None
    if kernels is not None:
        say(f"kernels: {kernels}; measuring torch's own operators")
    say("measuring what the machine can do at most")
    cost, peak = count_flops(config, spec), measure_peak(device, precision)
    speeds = []
    for speed in measure_speed(
        config,
        spec,
        device,
        precision=precision,
        compile=arguments.compile,
        batch_size=arguments.batch_size,
        seconds=arguments.seconds,
        peak=peak,
        cost=cost,
        tell=say,
    ):
        speeds.append(speed)
        say(f"{speed.work}: {speed.images_per_second:.4g} images/s")
    facts = {
        "what": arguments.what,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "kernels": kernels or "used" if device.type == "cpu" else None,
    }
    if arguments.json:
        work = [{**asdict(speed), "images_per_second": speed.images_per_second} for speed in speeds]
        print(json.dumps({**facts, "flops": asdict(cost), "peak": asdict(peak), "work": work}))
        return 0
    for line in _lines(facts, config, cost, peak, speeds):
        print(line)
    return 0


def _lines(facts: dict[str, Any], config: Config, cost: Cost, peak: Peak, speeds: list[Speed]) -> list[str]:
    where = f"{facts['device']}" + (f", {facts['threads']} threads" if facts["device"] == "cpu" else "")
    lines = [
        f"{facts['what']} on {where}, {facts['precision']}",
        f"an image costs {_giga(cost.forward)} GFLOP forward, {_giga(cost.training)} in training",
        f"peak here: {_giga(peak.matrix_product)} GFLOP/s in a matrix product,"
        f" {_giga(peak.convolution)} in a 3x3 convolution",
        "",
        f"{'':<11} {'batch':>5}  {'images/s':>9}  {'fastest':>8} {'slowest':>8}  {'of peak':>7}  {'memory':>8}",
    ]
    for speed in speeds:
        fast, slow = speed.batch / speed.fastest, speed.batch / speed.slowest
        lines.append(
            f"{speed.work:<11} {speed.batch:>5}  {speed.images_per_second:>9.4g}  {fast:>8.4g} {slow:>8.4g}"
            f"  {speed.share:>7.0%}  {speed.memory / 2**20:>5.0f} MB"
        )
    by_work = {speed.work: speed.images_per_second for speed in speeds}
    training, chain = config.training, config.diffusion.num_timesteps
    run = training.steps * training.batch_size / by_work["training"]
    few = min(50, chain)
    lines += [
        "",
        f"a whole run, {training.steps:,} steps of {training.batch_size}: {duration(run)},"
        " without validations and samples",
        f"{SAMPLES} samples: {duration(SAMPLES * few / by_work['sampling'])} in {few} steps,"
        f" {duration(SAMPLES * chain / by_work['sampling'])} in all {chain}",
        f"bits/dim of {SAMPLES} items in all {chain} steps: {duration(SAMPLES * chain / by_work['likelihood'])}",
    ]
    return lines


def _giga(number: float) -> str:
    return f"{number / 1e9:.3g}" if number < 1e12 else f"{number / 1e9:,.0f}"
