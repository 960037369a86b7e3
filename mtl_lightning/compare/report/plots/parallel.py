"""Parallel coordinates: an axis a task, a line a contestant."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from mtl_lightning.compare.report.numbers import MOST_PLACES, number, places
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.labels import spread
from mtl_lightning.compare.report.plots.looks import RULE, Material, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parallel(material: Material, wide: pd.DataFrame) -> "tuple[Figure, str]":
    """Draws the mean of every main metric.

    Args:
        material: Gives the looks, and which metrics are better when higher.
        wide: Means, a row a contestant, a column a task.
    """
    figure = new_figure(max(7.2, 2 + 0.85 * wide.shape[1]), max(3.6, 1 + 0.17 * len(wide)))
    axes = figure.subplots()
    down = ~material.main["higher_is_better"].to_numpy(dtype=bool)
    worst, best = wide.min().where(~down, wide.max()), wide.max().where(~down, wide.min())
    scaled = (wide - worst) / (best - worst).replace(0, 1)
    _axes(axes, material, worst, best)
    for name in wide.index:
        look = material.looks[name]
        style: dict[str, Any] = {"marker": look.marker, "ms": 5, "color": look.colour, "zorder": look.order}
        axes.plot(range(wide.shape[1]), scaled.loc[name], lw=1.6 if look.strong else 0.8, label=name, **style)
    _names_at_the_end(axes, material, scaled.iloc[:, -1])
    return figure, (
        "Main metric of every task, an axis per task from the worst mean (bottom) to the best, a line per contestant. "
        "A line that is on top everywhere has traded nothing."
    )


def _axes(axes: "Axes", material: Material, worst: pd.Series, best: pd.Series) -> None:
    for at, (low, high) in enumerate(zip(worst, best, strict=True)):
        axes.axvline(at, color=RULE, lw=1, zorder=0)
        digits = min(places([abs(high - low)]) + 1, MOST_PLACES)
        for height, value in ((-0.05, low), (1.05, high)):
            axes.text(at, height, number(value, digits), ha="center", va="center", fontsize=7.5)
    labels = [f"{short(metric.task)}\n{metric.metric}" for metric in material.main.itertuples()]
    slant: dict[str, Any] = {"rotation": 35, "ha": "right"} if len(labels) > 6 else {}
    axes.set_xticks(range(len(labels)), labels=labels, **slant)
    axes.set_yticks([])
    axes.tick_params(length=0, pad=7)
    axes.spines[:].set_visible(False)


def _names_at_the_end(axes: "Axes", material: Material, ends: pd.Series) -> None:
    last = len(material.main) - 1.0
    gap = 1.1 / max(len(ends) - 1, 12)
    room = 0.35 + 0.04 * len(axes.lines) / 10
    axes.set_xlim(-0.1, last + room)  # names then start at the edge, where the layout makes room for them
    for name, end, height in zip(ends.index, ends, spread(ends.tolist(), gap), strict=True):
        look, place = material.looks[name], (last + room, height)
        axes.plot([last, place[0]], [end, height], color=look.colour, lw=0.5, zorder=1)
        axes.annotate(look.label, place, (3, 0), textcoords="offset points", va="center", fontsize=7.5)
