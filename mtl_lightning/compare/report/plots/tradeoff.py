"""What is gained on one task and lost on another."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.forest import near, padded
from mtl_lightning.compare.report.plots.labels import label_points
from mtl_lightning.compare.report.plots.looks import FAINT, Material, NothingToShowError, short
from mtl_lightning.compare.report.plots.parallel import parallel

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
    if len(wide) < 2:
        raise NothingToShowError("No two contestants have a score on every task.")
    return _scatter(material, wide) if wide.shape[1] == 2 else parallel(material, wide)


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
    for name in wide.index:
        _contestant(axes, material, name, list(wide.columns))
    kept = wide[np.logical_and.reduce([near(wide[task].tolist()) for task in wide])]
    _axes(axes, material, kept)
    named = sorted(kept.index, key=lambda name: not material.looks[name].strong)
    lost = label_points(axes, [(*wide.loc[name], material.looks[name].label) for name in named])
    missing = f" Not labelled for lack of space: {', '.join(lost)}." if lost else ""
    outside = [material.looks[name].label for name in wide.index if name not in kept.index]
    missing += f" Far outside: {', '.join(outside)}." if outside else ""
    return figure, (
        "Main metric of both tasks: mean with 95 % intervals of each contestant; small points: seeds. Up and right is "
        f"better; the dashed line joins the contestants that none beats on both (Pareto front).{missing}"
    )


def _contestant(axes: "Axes", material: Material, name: str, tasks: list[str]) -> None:
    look, scores = material.looks[name], material.evidence.scores
    each = scores[scores["contestant"] == name].merge(material.main, on=["task", "metric"])
    seeds = each.pivot(index="seed", columns="task", values="value").reindex(columns=tasks)
    axes.plot(*seeds.to_numpy().T, ls="", marker=".", ms=3, color=look.colour, alpha=0.5)
    means = material.means()
    ends = means[means["contestant"] == name].set_index("task").loc[tasks]
    (x, y), halves = ends["mean"], (ends["high"] - ends["low"]) / 2
    style: dict[str, Any] = {"color": look.colour, "lw": 0.8, "alpha": 0.6, "zorder": look.order}
    axes.errorbar(x, y, xerr=halves.iloc[0], yerr=halves.iloc[1], **style)
    axes.plot(x, y, look.marker, color=look.colour, ms=7, zorder=look.order + 1, label=name)


def _axes(axes: "Axes", material: Material, kept: pd.DataFrame) -> None:
    means = material.means()
    ends = means[means["contestant"].isin(kept.index)]
    for axis, metric in zip("xy", material.main.itertuples(), strict=True):
        getattr(axes, f"set_{axis}label")(f"{short(metric.task)}: {metric.metric}")
        of_task = ends[ends["task"] == metric.task]
        getattr(axes, f"set_{axis}lim")(*padded([*of_task["mean"], *of_task["low"], *of_task["high"]], share=0.12))
        if not metric.higher_is_better:
            getattr(axes, f"invert_{axis}axis")()
    axes.grid()
