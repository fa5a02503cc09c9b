"""Speed and cost of a configuration on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import torch

from iddpm.acceleration import choose_device, chosen_precision
from iddpm.cli.commands.bench import BenchArguments
from iddpm.cli.progress import duration, say
from iddpm.config import Config, DatasetSpec
from iddpm.kernels.library import unavailable
from iddpm.speed import Cost, Peak, Speed, count_flops, measure_peak, measure_speed

SAMPLES = 64
"""Samples, and items, whose time is told."""


def measure(arguments: BenchArguments, config: Config, spec: DatasetSpec) -> int:
    """Measure and print how fast this machine is; return the exit code."""
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
    else:
        print("\n".join(_lines(facts, config, cost, peak, speeds)))
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
    pace = {speed.work: speed.images_per_second for speed in speeds}
    training, chain = config.training, config.diffusion.num_timesteps
    few = min(50, chain)
    lines += [
        "",
        f"a whole run, {training.steps:,} steps of {training.batch_size}:"
        f" {duration(training.steps * training.batch_size / pace['training'])}, without validations and samples",
        f"{SAMPLES} samples: {duration(SAMPLES * few / pace['sampling'])} in {few} steps,"
        f" {duration(SAMPLES * chain / pace['sampling'])} in all {chain}",
        f"bits/dim of {SAMPLES} items in all {chain} steps: {duration(SAMPLES * chain / pace['likelihood'])}",
    ]
    return lines


def _giga(number: float) -> str:
    return f"{number / 1e9:.3g}" if number < 1e12 else f"{number / 1e9:,.0f}"
