"""Two versions of iddpm side by side: how fast each trains, samples and scores on a CPU, pair by pair.

    python -m benchmarks.versions OTHER/CHECKOUT [--rounds 5] [--seconds 2]

Both checkouts run `iddpm bench` in turn with this environment's packages; the ratio of a pair is the other version's
time over this one's, so above 1 this one is faster. Prints a table; start-up is that of `iddpm --help` and of
`iddpm sample --help`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.matched import SIZES

HERE = Path(__file__).parent.parent
BATCHES = {"S": 128, "M": 32}


def configuration(name: str, folder: Path) -> Path:
    """Write the configuration of a size to a file that both versions read."""
    size = SIZES[name]
    data = {"source": "photos", "size": size.side, "channels": size.image_channels}
    network = {
        "channels": size.channels,
        "channel_multipliers": size.multipliers,
        "num_res_blocks": size.blocks,
        "attention_resolutions": size.attention,
        "num_heads": size.heads,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"data": data, "network": network}))
    return path


def run(checkout: Path, *words: str) -> str:
    """Run `iddpm WORDS` of a checkout and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    command = [sys.executable, "-m", "iddpm", *words]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=checkout).stdout


def times(checkout: Path, config: Path, batch: int, seconds: float) -> dict[str, float]:
    """Return the median seconds of a call of each kind of work."""
    flags = ["--batch-size", str(batch), "--seconds", str(seconds), "--device", "cpu", "--json"]
    result = json.loads(run(checkout, "bench", str(config), *flags))
    return {work["work"]: work["seconds_a_call"] for work in result["work"]}


def start_up(checkout: Path) -> dict[str, float]:
    """Return the seconds that commands take to say what they are."""
    seconds = {}
    for words in (("--help",), ("sample", "--help")):
        begun = time.perf_counter()
        run(checkout, *words)
        seconds["iddpm " + " ".join(words)] = time.perf_counter() - begun
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    ratios: dict[str, list[float]] = defaultdict(list)
    ours: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        configs = {name: configuration(name, Path(folder)) for name in BATCHES}
        for number in range(arguments.rounds):
            pair = [HERE, arguments.other.resolve()][:: 1 if number % 2 == 0 else -1]  # neither is always first
            rows: dict[Path, dict[str, float]] = {checkout: start_up(checkout) for checkout in pair}
            for name, config in configs.items():
                for checkout in pair:
                    measured = times(checkout, config, BATCHES[name], arguments.seconds)
                    rows[checkout] |= {f"{work} {name}": seconds for work, seconds in measured.items()}
            for row, seconds in rows[HERE].items():
                ratios[row].append(rows[pair[0] if pair[1] == HERE else pair[1]][row] / seconds)
                ours[row].append(seconds)
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    print(f"{'':<22} {'seconds':>9}  {'ratio':>6}  (least ... most of {arguments.rounds} pairs)")
    for row, values in ratios.items():
        seconds = statistics.median(ours[row])
        print(
            f"{row:<22} {seconds:>9.4f}  {statistics.median(values):>6.3f}  ({min(values):.3f} ... {max(values):.3f})"
        )


if __name__ == "__main__":
    main()
