"""Fronts in the plane of two tasks."""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_lightning.compare.planning.fronts import FIXED_WEIGHTS
from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.looks import FAINT, INK, MARKERS, PALETTE, Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def fronts(material: Material) -> "tuple[Figure, str]":
    """A panel for each two tasks: the points of each front in the order of its preferences."""
    if not material.evidence.fronts:
        raise NothingToShowError
    means = material.means().pivot(index="contestant", columns="task", values="mean")
    means = means.reindex(columns=material.main["task"]).dropna()
    if means.shape[1] < 2 or means.empty:
        raise NothingToShowError("No point of a front has a score on every task.")
    pairs = list(combinations(range(means.shape[1]), 2))
    figure = new_figure(6.4 if len(pairs) == 1 else 3.6 * len(pairs), 4.8 if len(pairs) == 1 else 3.8)
    for axes, pair in zip(np.atleast_1d(figure.subplots(1, len(pairs))), pairs, strict=True):
        _panel(axes, material, means, pair)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure, (
        "Main metrics, means over seeds: each line joins the points of a front in the order of its preferences, with "
        "95 % intervals; outlined points are dominated by another of their front. Crosses are contestants without "
        "preferences. Up and right is better."
    )


def _panel(axes: "Axes", material: Material, means: pd.DataFrame, pair: tuple[int, int]) -> None:
    signs = np.where(material.main["higher_is_better"], 1.0, -1.0)
    swept = {name for names in material.evidence.fronts.values() for name in names}
    for name in (each for each in means.index if each not in swept and not is_single_task(each)):
        axes.plot(*means.loc[name].iloc[[*pair]], "x", color=FAINT, ms=6, zorder=2, label=short(name))
    for at, (front, names) in enumerate(material.evidence.fronts.items()):
        points = means.reindex(names).dropna()
        colour = INK if front == FIXED_WEIGHTS else PALETTE[at % len(PALETTE)]
        _front(axes, material, points, pair, signs, colour, MARKERS[at % len(MARKERS)], front)
    for axis, place in zip("xy", pair, strict=True):
        metric = material.main.iloc[place]
        getattr(axes, f"set_{axis}label")(f"{short(metric.task)}: {metric.metric}")
        if not metric.higher_is_better:
            getattr(axes, f"invert_{axis}axis")()
    axes.grid()


def _front(
    axes: "Axes",
    material: Material,
    points: pd.DataFrame,
    pair: tuple[int, int],
    signs: np.ndarray,
    colour: str,
    marker: str,
    name: str,
) -> None:
    """A line through points; those that none dominates in all tasks are filled."""
    values = points.to_numpy() * signs
    beaten = ((values[None] >= values[:, None]).all(-1) & (values[None] > values[:, None]).any(-1)).any(1)
    x, y = (points.iloc[:, place].to_numpy() for place in pair)
    dashes = (0, (4, 2)) if name == FIXED_WEIGHTS else "-"
    axes.plot(x, y, color=colour, lw=1, ls=dashes, marker=marker, ms=6, mfc="none", zorder=3, label=short(name))
    axes.plot(x[~beaten], y[~beaten], marker, color=colour, ms=6, zorder=4)
    ends = material.means().set_index(["contestant", "task"])
    halves = [
        [(row.high - row.low) / 2 for row in (ends.loc[(each, points.columns[place])] for each in points.index)]
        for place in pair
    ]
    axes.errorbar(x, y, xerr=halves[0], yerr=halves[1], fmt="none", ecolor=colour, lw=0.6, alpha=0.5, zorder=2)
