"""What quality costs in time."""

from math import isfinite
from typing import TYPE_CHECKING

from mtl_lightning.compare.report.numbers import TIMES
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.forest import robust_limits
from mtl_lightning.compare.report.plots.labels import label_points
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.report.quality import quality_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cost(material: Material) -> "tuple[Figure, str]":
    """Seconds a step, relative to the reference, against the figure that contestants are ordered by."""
    from matplotlib.ticker import LogLocator

    costs = material.summary.costs
    times = costs[costs["measure"] == "seconds_per_step"].set_index("contestant")["relative"]
    points = material.quality.join(times).dropna(subset=["mean", "relative"])
    if points.empty:
        raise NothingToShowError("No contestant has both a score and a time a step.")
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    for name, row in points.iterrows():
        look = material.looks[name]
        half = (row.high - row.low) / 2
        axes.errorbar(row.relative, row["mean"], yerr=half, color=look.colour, lw=0.8, alpha=0.6, zorder=look.order)
        axes.plot(row.relative, row["mean"], look.marker, color=look.colour, ms=7, zorder=look.order + 1, label=name)
    if points["relative"].max() > 8 * points["relative"].min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    inner = robust_limits(points["mean"].tolist())
    axes.margins(0.12)
    if inner is not None:
        axes.set_ylim(*inner)
    reference = material.evidence.reference
    axes.set_xlabel(f"time a step, relative to {material.looks[reference].label}")
    axes.set_ylabel(quality_name(material.evidence, material.summary).replace(" (", "\n(").replace(": ", ":\n"))
    axes.grid()
    seen = [name for name in points.index if inner is None or inner[0] <= points.loc[name, "mean"] <= inner[1]]
    named = sorted(seen, key=lambda name: not material.looks[name].strong)
    lost = label_points(
        axes, [(points.loc[name, "relative"], points.loc[name, "mean"], material.looks[name].label) for name in named]
    )
    off = [name for name in points.index if name not in seen and isfinite(points.loc[name, "mean"])]
    more = f" Not named for lack of room: {', '.join(lost)}." if lost else ""
    more += f" Far outside: {', '.join(off)}." if off else ""
    return (
        figure,
        f"Time of an optimizer step ({TIMES} that of {reference}) against quality with its 95 % interval. Up and left "
        f"is better.{more}",
    )
