"""The plot of a benchmark: recall against latency, a line an index."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from vectorkit.benchmarking import Benchmark, K, Kind
from vectorkit.errors import InvalidArgumentError, MissingDependencyError

__all__ = ["check", "draw"]

_STYLES: Final[dict[Kind, tuple[str, str, str]]] = {  # title, colour (of Okabe and Ito, told apart by all), marker
    "none": ("no index", "#000000", "*"),
    "ivfflat": ("IVFFlat", "#D55E00", "s"),
    "hnsw": ("HNSW", "#0072B2", "o"),
}


def check() -> None:
    """Raise `MissingDependencyError` if there is nothing to draw with; before an hour of measuring, not after it."""
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise MissingDependencyError(
            "the plot needs matplotlib, which is not installed: pip install 'vectorkit-db[plot]'"
        ) from error


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def draw(found: Benchmark, file: Path) -> None:
    """Draw recall@10 against the median latency, with a line to the 95th percentile, as a PNG of 1,600 x 1,000 pixels.

    Args:
        found: What was measured.
        file: Where to; what is there is replaced.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        InvalidArgumentError: The file cannot be written.
    """
    check()
    # Neither pyplot nor a display: a figure of its own changes nothing for a program that draws as well.
    figures: Any = import_module("matplotlib.figure")
    ticker: Any = import_module("matplotlib.ticker")
    figure = figures.Figure(figsize=(10, 6.25), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for kind, (title, colour, marker) in _STYLES.items():
        points = [point for point in found.points if point.index == kind]
        if not points:
            continue
        times, recalls = [point.p50 for point in points], [point.recall for point in points]
        later = [[0.0] * len(points), [point.p95 - point.p50 for point in points]]
        varied = f" over {points[0].setting}" if points[0].setting else ""
        axes.errorbar(times, recalls, xerr=later, fmt="none", ecolor=colour, alpha=0.35, capsize=2, linewidth=1)
        size = 14 if kind == "none" else 7
        line = "-" if len(points) > 1 else "none"
        style = {"color": colour, "linestyle": line, "marker": marker, "markersize": size, "zorder": 3}
        axes.plot(times, recalls, label=f"{title}{varied}", **style)
        for point in points:
            if point.value is not None:
                above = kind == "hnsw"
                axes.annotate(
                    f"{point.value}",
                    (point.p50, point.recall),
                    xytext=(-6, 7) if above else (7, -12),
                    textcoords="offset points",
                    ha="right" if above else "left",
                    color=colour,
                    fontsize=9,
                )
    axes.set_xscale("log")
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which(ticker.FuncFormatter(_plain))
    axes.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    lowest = min(0.95, *(point.recall for point in found.points))
    limits = lowest - 0.1 * (1.0 - lowest), 1.0 + 0.1 * (1.0 - lowest)
    axes.set_ylim(limits)
    axes.set_yticks([tick for tick in axes.get_yticks() if -1e-9 < tick < 1.0 + 1e-9])
    axes.set_ylim(limits)  # which ticks beyond it have widened
    axes.set_xlabel("latency of a query [ms], median, with a line to the 95th percentile (logarithmic)")
    axes.set_ylabel(f"recall@{K} against exact search")
    axes.set_title(
        f"{found.count:,} {found.data} vectors of {found.dimension:,} dimensions, cosine, {found.queries:,} queries\n"
        f"{found.backend}",
        fontsize=11,
    )
    axes.grid(which="both", alpha=0.25)
    axes.legend(loc="lower right")
    try:
        figure.savefig(file)
    except OSError as error:
        raise InvalidArgumentError(f"{file} cannot be written: {error.strerror}") from error
