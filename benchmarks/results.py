"""What benchmarks share: the folder of results, the machine they are measured on, and how figures are written."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser of the words that all benchmarks take."""
    words = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, default=RESULTS, help="the folder of results")
    words.add_argument("--page", action="store_true", help="measure nothing: make the page anew from the .json")
    return words


def tell(line: object) -> None:
    """Write a line to stderr."""
    print(line, file=sys.stderr, flush=True)


def read(path: Path, default: Any) -> Any:
    """Return what a .json holds, or `default` where there is none."""
    return json.loads(path.read_text()) if path.exists() else default


def write(path: Path, results: Any) -> None:
    """Write results as .json, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def processor() -> str:
    """Return the processor's name and widest vectors."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{name} ({'AMX, ' if 'amx_bf16' in flags else ''}{'AVX-512' if 'avx512f' in flags else 'AVX2'})"


def commit() -> str:
    """Return the commit that is measured, marked where files differ from it; "" outside of a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def measured() -> dict[str, str]:
    """Return the machine and the time of a measurement, to be kept with its figures."""
    return {
        "machine": processor(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
    }


def provenance(*records: Mapping[str, Any]) -> str:
    """Return when and on which machines records were measured, as far as they know; "" for records that do not."""
    return "; ".join(dict.fromkeys(filter(None, map(_provenance, records))))


def _provenance(record: Mapping[str, Any]) -> str:
    machine, version, date, name = (record.get(key) for key in ("machine", "torch", "date", "commit"))
    parts = (machine, version and f"torch {version}", date, name and f"commit {name}")
    return ", ".join(part for part in parts if part)


def sentence(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a page that say where its figures were measured: none where the records do not know."""
    where = provenance(*records)
    return ["", f"Measured on {where}."] if where else []


def with_error(mean: float, error: float, digits: int) -> str:
    """Return a mean with its error, where it has one, to so many digits."""
    return f"{mean:.{digits}f} ± {error:.{digits}f}" if error else f"{mean:.{digits}f}"
