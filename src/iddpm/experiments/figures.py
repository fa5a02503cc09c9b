"""The look of experiments' figures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

BLUE, ORANGE, GREEN, RED, GREY, DARK_GREY = "#2a6fbb", "#d9822b", "#8ab17d", "#d1495b", "#999999", "#555555"
SCHEDULE_COLOURS = {"linear": ORANGE, "cosine": BLUE}
OBJECTIVE_COLOURS = {"L_simple": GREY, "L_hybrid": BLUE, "L_vlb": ORANGE}


def panels(count: int, width: float = 9, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side. width, height: of all of it, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def tidy(*panels: Axes) -> None:
    """Draw a faint grid, no box, and plain numbers on logarithmic axes that show little of a decade."""
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_yscale() == "log":
            low, high = axes.get_ylim()
            if high / low < 1000:
                parts = (1, 1.2, 1.5, 2, 3, 5, 7) if high / low < 20 else (1, 2, 5)
                axes.yaxis.set_major_locator(LogLocator(subs=parts))
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if axes.get_xscale() == "log":
            axes.xaxis.set_minor_formatter(NullFormatter())
