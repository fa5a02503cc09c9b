"""As many digits of a score as its error lets mean something."""

from __future__ import annotations

import math


def rounded(value: float, doubt: float) -> tuple[str, str]:
    """Both to two digits of `doubt` (to three decimals where that is 0), never "-0.0"."""
    digits = min(6, max(0, 1 - math.floor(math.log10(doubt)))) if doubt > 0 else 3
    shown = f"{value:.{digits}f}"
    return (shown.removeprefix("-") if float(shown) == 0 else shown), f"{doubt:.{digits}f}"
