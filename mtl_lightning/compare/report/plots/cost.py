"""What quality costs in time."""

from typing import TYPE_CHECKING

import pandas as pd

from mtl_lightning.compare.report.numbers import TIMES
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.forest import near, padded
from mtl_lightning.compare.report.plots.labels import label_points
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.report.quality import quality_name
from mtl_lightning.compare.report.times import TITLES, time_measure, times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def cost(material: Material) -> "tuple[Figure, str]":
    """Seconds a step, relative to the reference, against the figure that contestants are ordered by."""
    taken = times(material.evidence, material.summary).filter(like="relative")
    points = material.quality.join(taken).dropna(subset=["mean", "relative"])
    if points.empty:
        raise NothingToShowError("No contestant has both a time per step and a Δm or a difference to the reference.")
    title = TITLES[time_measure(material.evidence)]
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    for name, row in points.iterrows():
        look, half = material.looks[name], (row.high - row.low) / 2
        bars = {"xerr": (row.relative_high - row.relative_low) / 2, "yerr": half}
        axes.errorbar(row.relative, row["mean"], **bars, color=look.colour, lw=0.8, alpha=0.6, zorder=look.order)
        axes.plot(row.relative, row["mean"], look.marker, color=look.colour, ms=7, zorder=look.order + 1, label=name)
    _axes(axes, material, points)
    return figure, (
        f"{title[0].upper()}{title[1:]} ({TIMES} that of {material.evidence.reference}) against quality, with 95 % "
        f"intervals. Up and left is better.{_names(axes, material, points)}"
    )


def _axes(axes: "Axes", material: Material, points: pd.DataFrame) -> None:
    from matplotlib.ticker import LogLocator

    if points["relative"].max() > 8 * points["relative"].min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.margins(0.12)
    axes.set_xlim(*_limits(points, axes.get_xscale() == "log"))
    kept = points[near(points["mean"].tolist())]
    if len(kept) < len(points):
        axes.set_ylim(*padded([*kept["mean"], *kept["low"], *kept["high"]]))
    axes.set_xlabel(
        f"{TITLES[time_measure(material.evidence)]}, relative to {material.looks[material.evidence.reference].label}"
    )
    axes.set_ylabel(quality_name(material.evidence, material.summary).replace(" in %", "\nin %").replace(": ", ":\n"))
    axes.grid()


def _limits(points: pd.DataFrame, log: bool) -> tuple[float, float]:
    """Around the times and their intervals; no time is below zero."""
    low = float(points[["relative", "relative_low"]].min(axis=None))
    high = float(points[["relative", "relative_high"]].max(axis=None))
    low = max(low, float(points["relative"].min()) / 10 if log else 0.0)
    if log:
        return low / (high / low) ** 0.12, high * (high / low) ** 0.12
    room = 0.12 * (high - low) or 0.12 * high
    return max(low - room, 0.0), high + room


def _names(axes: "Axes", material: Material, points: pd.DataFrame) -> str:
    """Names the points, and says which ones it could not."""
    low, high = axes.get_ylim()
    seen = points[(points["mean"] >= low) & (points["mean"] <= high)]
    ordered = sorted(seen.index, key=lambda name: not material.looks[name].strong)
    places = [(seen.loc[name, "relative"], seen.loc[name, "mean"], material.looks[name].label) for name in ordered]
    lost, off = label_points(axes, places), [name for name in points.index if name not in seen.index]
    unnamed = f" Not labelled for lack of space: {', '.join(lost)}." if lost else ""
    return unnamed + (f" Far outside: {', '.join(off)}." if off else "")
