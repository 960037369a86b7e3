"""What is gained on one task and lost on another."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mtl_lightning.compare.report.numbers import MOST_PLACES, number, places
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.labels import label_points, spread
from mtl_lightning.compare.report.plots.looks import FAINT, INK, RULE, Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def tradeoff(material: Material) -> "tuple[Figure, str]":
    """Two tasks: a scatter with the Pareto front; more: parallel coordinates."""
    if len(material.main) < 2:
        raise NothingToShowError("There is one task, so there is nothing to trade.")
    means = material.means()
    wide = (
        means.pivot(index="contestant", columns="task", values="mean").reindex(columns=material.main["task"]).dropna()
    )
    wide = wide.loc[[name for name in material.evidence.contestants if name in wide.index]]
    if wide.empty:
        raise NothingToShowError("No contestant has a score on every task.")
    return _scatter(material, wide) if wide.shape[1] == 2 else _parallel(material, wide)


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Which points no other point equals or beats on every coordinate and beats on one.

    Args:
        points: [N, D], higher is better.

    Returns:
        Truth values [N].
    """
    at_least = np.all(points[None] >= points[:, None], axis=-1)
    above = np.any(points[None] > points[:, None], axis=-1)
    return np.asarray(~np.any(at_least & above, axis=1))


def _scatter(material: Material, wide: pd.DataFrame) -> "tuple[Figure, str]":
    figure = new_figure(7.2, 5.2)
    axes = figure.subplots()
    signs = np.where(material.main["higher_is_better"], 1.0, -1.0)
    front = wide[pareto_front(wide.to_numpy() * signs)].sort_values(wide.columns[0])
    axes.plot(*front.to_numpy().T, color=FAINT, lw=1, ls=(0, (4, 2)), zorder=1, label="Pareto front")
    seeds = material.evidence.scores.merge(material.main, on=["task", "metric"])
    ends = material.means().set_index(["contestant", "task"])
    for name, (x, y) in zip(wide.index, wide.to_numpy(), strict=True):
        look = material.looks[name]
        each = seeds[seeds["contestant"] == name].pivot(index="seed", columns="task", values="value")
        axes.plot(
            *each.reindex(columns=wide.columns).to_numpy().T, ls="", marker=".", ms=3, color=look.colour, alpha=0.5
        )
        halves = [(ends.loc[(name, task), "high"] - ends.loc[(name, task), "low"]) / 2 for task in wide.columns]
        axes.errorbar(x, y, xerr=halves[0], yerr=halves[1], color=look.colour, lw=0.8, alpha=0.6, zorder=look.order)
        axes.plot(x, y, look.marker, color=look.colour, ms=7, zorder=look.order + 1, label=name)
    _axes(axes, material)
    named = sorted(wide.index, key=lambda name: not material.looks[name].strong)
    lost = label_points(axes, [(*wide.loc[name], material.looks[name].label) for name in named])
    missing = f" Not named for lack of room: {', '.join(lost)}." if lost else ""
    return figure, (
        "Main metric of both tasks: mean with 95 % intervals of each contestant; small points: seeds. Up and right is "
        f"better; the dashed line joins the contestants that none beats on both (Pareto front).{missing}"
    )


def _axes(axes: "Axes", material: Material) -> None:
    for axis, metric in zip("xy", material.main.itertuples(), strict=True):
        getattr(axes, f"set_{axis}label")(f"{short(metric.task)}: {metric.metric}")
        if not metric.higher_is_better:
            getattr(axes, f"invert_{axis}axis")()
    axes.grid()
    axes.margins(0.12)


def _parallel(material: Material, wide: pd.DataFrame) -> "tuple[Figure, str]":
    count = len(wide)
    figure = new_figure(max(7.2, 2 + 0.85 * wide.shape[1]), max(3.6, 1 + 0.17 * count))
    axes = figure.subplots()
    low, high = wide.min(), wide.max()
    scaled = (wide - low) / (high - low).replace(0, 1)
    down = ~material.main["higher_is_better"].to_numpy(dtype=bool)
    scaled.loc[:, down] = 1 - scaled.loc[:, down]
    for at, task in enumerate(wide.columns):
        axes.axvline(at, color=RULE, lw=1, zorder=0)
        worst, best = (high[task], low[task]) if down[at] else (low[task], high[task])
        digits = min(places([best - worst]) + 1, MOST_PLACES)
        for height, value in ((-0.05, worst), (1.05, best)):
            axes.text(at, height, number(value, digits), ha="center", va="center", fontsize=7.5)
    for name in wide.index:
        look = material.looks[name]
        axes.plot(
            range(wide.shape[1]), scaled.loc[name], marker=look.marker, ms=5, color=look.colour,
            lw=1.6 if look.strong else 0.8, zorder=look.order, label=name,
        )  # fmt: skip
    _names_at_the_end(axes, material, scaled.iloc[:, -1])
    labels = [f"{short(m.task)}\n{m.metric}" for m in material.main.itertuples()]
    slant: dict[str, Any] = {"rotation": 35, "ha": "right"} if len(labels) > 6 else {}
    axes.set_xticks(range(len(labels)), labels=labels, **slant)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, (
        "Main metric of every task, an axis a task from the worst mean (bottom) to the best, a line a contestant. "
        "A line that is on top everywhere has traded nothing."
    )


def _names_at_the_end(axes: "Axes", material: Material, ends: pd.Series) -> None:
    last = len(material.main) - 1.0
    gap = 1.1 / max(len(ends) - 1, 12)
    room = 0.35 + 0.04 * len(axes.lines) / 10
    for name, end, place in zip(ends.index, ends, spread(ends.tolist(), gap), strict=True):
        axes.plot([last, last + room], [end, place], color=material.looks[name].colour, lw=0.5, zorder=1)
        axes.text(last + room, place, f" {material.looks[name].label}", va="center", fontsize=7.5, color=INK)
