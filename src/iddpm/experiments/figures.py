"""How experiments' figures look."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

SCHEDULE_COLOURS = {"linear": "#d9822b", "cosine": "#2a6fbb"}


def tidy(*panels: Axes) -> None:
    """Faint grid, no box, and plain numbers on logarithmic axes however little of a decade they show."""
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_yscale() == "log":
            low, high = axes.get_ylim()
            if high / low < 1000:
                axes.yaxis.set_major_locator(
                    LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7) if high / low < 20 else (1, 2, 5))
                )
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if axes.get_xscale() == "log":
            axes.xaxis.set_minor_formatter(NullFormatter())
