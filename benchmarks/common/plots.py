"""One look for all plots: small SVG files that read well on light and on dark pages.

matplotlib is asked for only when something is drawn: `pip install --group bench`.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's: told apart by everyone."""
MUTED: Final = "#888888"
_STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
    "svg.hashsalt": "tercet",  # the same figures give the same file
}


def new_figure(
    num_axes: int = 1, *, height: float = 3.2, rows: int = 1
) -> "tuple[Figure, list[Axes]]":
    """Axes in a row, or in several; they are given row by row."""
    pyplot = _pyplot()
    size = (4.4 * num_axes, height * rows)
    figure, axes = pyplot.subplots(
        rows, num_axes, figsize=size, squeeze=False, layout="constrained"
    )
    return figure, list(axes.flat)


def series(axes: "Axes", xs: list[float], ys: list[float], label: str, index: int) -> None:
    """A line with a mark at each measurement."""
    axes.plot(xs, ys, marker="o", color=COLORS[index % len(COLORS)], label=label)


def limit(axes: "Axes", xs: list[float], ys: list[float], label: str) -> None:
    """What the machine could give, measured in the same run."""
    axes.plot(xs, ys, linestyle="--", color=MUTED, label=label)


def log_axis(axes: "Axes", values: list[float], label: str) -> None:
    """Doubling steps along x, each marked by its number."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel(label)


def finish(
    figure: "Figure", path: Path, *, legends: Literal["best", "upper right"] = "best"
) -> None:
    """Write the figure and forget it.

    Args:
        figure: drawn.
        path: where to.
        legends: their place; the best one takes long to find among many points.
    """
    for axes in figure.axes:
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc=legends)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, transparent=False)
    _pyplot().close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 -- only who draws needs it
    except ImportError:
        sys.exit("plots need matplotlib: pip install --group bench")
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 -- after the backend is chosen

    pyplot.rcParams.update(_STYLE)
    return pyplot
