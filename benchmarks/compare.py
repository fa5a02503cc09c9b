"""Side by side: iddpm against diffusers and denoising-diffusion-pytorch, at matched networks, in one run.

    python -m benchmarks.compare [--rounds 3] [--seconds 1] [--sizes S,M,L]      (with a GPU: --sizes S,M,L,I)

Every contestant has its own process; their turns alternate (A B C A B C ...), and each figure is the median of its
turns. Writes docs/results/speed.json and the tables in docs/results/speed.md. A quarter of an hour on two cores, which
take no part in bfloat16 where they can only imitate it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any, NamedTuple

import torch

from benchmarks.contestants import CONTESTANTS, DEVICE, STEPS
from benchmarks.matched import SIZES
from benchmarks.results import measured, parser, processor, read, tell, write


class Case(NamedTuple):
    """One measurement: a piece of work at a size and a batch."""

    work: str
    size: str
    batch: int

    @property
    def name(self) -> str:
        """Return the case as a table names it."""
        return f"{self.size} b{self.batch}"


FORWARD = [
    Case("forward", size, batch) for size, large in (("S", 64), ("M", 64), ("L", 16), ("I", 64)) for batch in (1, large)
]
TRAINING = [Case("training", size, batch) for size, batch in (("S", 128), ("M", 32), ("L", 8), ("I", 64))]
LOOPS = [Case("sampling", size, batch) for size in ("S", "M") for batch in (1, 64)]
SCORING = [case._replace(work="scoring") for case in LOOPS]
MEMORY = TRAINING


class Process:
    """A contestant at work."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.contestants", name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case: Case, seconds: float) -> dict[str, float]:
        """Return the answer to one task."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**case._asdict(), "seconds": seconds}), file=self._process.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer

    def end(self) -> None:
        """Close its input, and wait for its end."""
        self._process.communicate()


def measure(cases: list[Case], names: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Return the seconds of a call, of every case, contestant and round."""
    processes = {name: Process(name) for name in names}
    timings: dict[str, Any] = {}
    for case in cases:
        turns: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, process in processes.items():
                turns[name].append(process.ask(case, seconds)["seconds"])
        timings[f"{case.work} {case.name}"] = turns
        medians = {name: statistics.median(values) for name, values in turns.items()}
        speeds = {name: round(case.batch / median, 1) for name, median in medians.items()}
        tell(f"{case.work} {case.name}: images/s {speeds}")
    for process in processes.values():
        process.end()
    return timings


def memory(case: Case, name: str) -> float:
    """Return the bytes at the peak of a process that trains for three steps."""
    process = Process(name)
    peak = 0.0
    for _ in range(3):
        peak = process.ask(case, 0)["peak_bytes"]
    process.end()
    return peak


def peaks() -> dict[str, float]:
    """Return the FLOP/s of torch's best matrix product and convolution here, in float32."""
    from iddpm.speed import measure_peak

    peak = measure_peak(DEVICE, "float32")
    return {"matrix product": peak.matrix_product, "3x3 convolution": peak.convolution}


def run(rounds: int, seconds: float, sizes: set[str]) -> dict[str, Any]:
    """Return all measurements."""
    names = [name for name in CONTESTANTS if rounds_fast() or "bfloat16" not in name]
    ours = names[0]

    def chosen(cases: list[Case]) -> list[Case]:
        return [case for case in cases if case.size in sizes]

    facts = {}
    for name in names[:3]:
        process = Process(name)
        facts[name] = {size: process.ask(Case("facts", size, 1), 0) for size in SIZES if size in sizes}
        process.end()
    top = peaks()
    timings = measure(chosen(FORWARD + TRAINING), names, rounds, seconds)
    # The loop and the bare network take turns, each in a process of its own.
    loops: dict[str, Any] = {}
    for case in chosen(LOOPS + SCORING):
        process = Process(ours)
        turns: dict[str, list[float]] = {"loop": [], "bare": []}
        other = Process(ours)
        for _ in range(2 * rounds):
            turns["loop"].append(process.ask(case, seconds)["seconds"] / STEPS)
            turns["bare"].append(other.ask(case._replace(work="forward"), seconds)["seconds"])
        process.end()
        other.end()
        loops[f"{case.work} {case.name}"] = turns
        ratio = statistics.median(a / b for a, b in zip(turns["loop"], turns["bare"], strict=True))
        tell(f"{case.work} {case.name}: loop over bare network {ratio:.3f}")
    peak_bytes = {case.name: {name: memory(case, name) for name in names} for case in chosen(MEMORY)}
    return {
        "machine": {
            "processor": processor() if DEVICE.type == "cpu" else torch.cuda.get_device_name(),
            "threads": torch.get_num_threads(),
            **{key: value for key, value in measured().items() if key != "machine"},
            "peaks": top,
        },
        "rounds": rounds,
        "seconds_a_turn": seconds,
        "facts": facts,
        "seconds": timings,
        "loops": loops,
        "peak_bytes": peak_bytes,
    }


def rounds_fast() -> bool:
    """Return whether bfloat16 is computed here rather than imitated, which takes ten times as long."""
    return DEVICE.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def page(results: dict[str, Any]) -> str:
    """Return the page of the results."""
    machine, facts = results["machine"], results["facts"]
    ours, diffusers, other, rounded = CONTESTANTS
    names = [name for name in CONTESTANTS if name in next(iter(results["seconds"].values()))]
    top = {name: value / 1e9 for name, value in machine["peaks"].items()}
    lines = [
        "# Speed, side by side",
        "",
        f"`python -m benchmarks.compare --rounds {results['rounds']} --seconds {results['seconds_a_turn']:g}` made this"
        " page. Medians of interleaved turns,"
        f" each contestant in its own process with its own defaults; {machine['processor']},"
        f" {machine['threads']} threads, torch {machine['torch']}, {machine['date']}"
        f"{', commit ' + machine['commit'] if machine.get('commit') else ''}."
        f" Peak here: {top['matrix product']:.0f} GFLOP/s (matrix product),"
        f" {top['3x3 convolution']:.0f} (3x3 convolution).",
        "",
        f"All compute in float32{' but for the last column' if rounded in names else ''}. Networks: "
        + "; ".join(
            f"{size}: {facts[ours][size]['parameters'] / 1e6:.2f} M parameters, {facts[ours][size]['flops'] / 1e9:.3f}"
            f" GFLOP an image (diffusers {facts[diffusers][size]['flops'] / 1e9:.3f},"
            f" denoising-diffusion-pytorch {facts[other][size]['flops'] / 1e9:.3f}: another network)"
            for size in facts[ours]
        )
        + ".",
        "",
        f"| images/s | {ours} | {diffusers} | {other} | ratio to {diffusers} | share of convolution peak |"
        + (f" {rounded} |" if rounded in names else ""),
        "|---|---|---|---|---|---|" + ("---|" if rounded in names else ""),
    ]
    for key, turns in results["seconds"].items():
        work, size, batch = key.split()
        count = int(batch[1:])
        speed = {name: count / statistics.median(values) for name, values in turns.items()}
        ratios = [b / a for a, b in zip(turns[ours], turns[diffusers], strict=True)]
        needed = facts[ours][size]["flops"] * (3 if work == "training" else 1)
        share = speed[ours] * needed / machine["peaks"]["3x3 convolution"]
        lines.append(
            f"| {work} {size} {batch} | {speed[ours]:.1f} | {speed[diffusers]:.1f} | {speed[other]:.1f} |"
            f" **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) | {share:.0%} |"
            + (f" {speed[rounded]:.1f} |" if rounded in names else "")
        )
    lines += ["", "| loop over the bare network | ratio |", "|---|---|"]
    for key, turns in results["loops"].items():
        ratios = sorted(a / b for a, b in zip(turns["loop"], turns["bare"], strict=True))
        middle = statistics.median(ratios)
        lines.append(f"| {key} | {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) |")
    lines += ["", f"| peak memory of training, MB | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for key, peak in results["peak_bytes"].items():
        lines.append(f"| {key} | {' | '.join(f'{peak[name] / 2**20:.0f}' for name in names)} |")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> None:
    """Run the command."""
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--seconds", type=float, default=1.0, help="of work a turn, at least one call")
    command.add_argument("--sizes", default="S,M,L")
    command.add_argument("--name", default="speed", help="of the .json and the .md")
    arguments = command.parse_args(words)
    path = arguments.out / f"{arguments.name}.json"
    if not arguments.page:
        write(path, run(arguments.rounds, arguments.seconds, set(arguments.sizes.split(","))))
    text = page(read(path, None))
    path.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
