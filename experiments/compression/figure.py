"""The figure: what each way costs, and how well it predicts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_COSTS = {
    "MB of weights": ("bytes", 1e6),
    "MB resident": ("resident", 1e6),
    "ms a sentence, one thread": ("milliseconds", 1),
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def draw(found: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, str], path: Path) -> None:
    """Draws bars of what is better small, and points of the scores.

    Args:
        found: See :func:`experiments.compression.measure.measured`.
        tasks: The metric of each task, by its name.
        path: Of the PNG file.
    """
    figure = Figure(figsize=(10, 0.36 * len(found) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(_COSTS) + 1, sharey=True)
    names = list(found)
    for axes, (title, (key, unit)) in zip(panels, _COSTS.items(), strict=False):
        bars = axes.barh(names, [found[name][key] / unit for name in names], color="#7f8c9b", height=0.65)
        axes.bar_label(bars, fmt="%.3g", fontsize=8, padding=2)
        axes.margins(x=0.22)
        _tidy(axes, title)
        axes.set_xticks([])
    for (task, metric), colour in zip(tasks.items(), _COLOURS, strict=False):
        values = [found[name]["scores"][task] for name in names]
        panels[-1].plot(values, names, "o", color=colour, markersize=5, label=f"{task}: {metric}")
    _tidy(panels[-1], "test split, %")
    panels[-1].grid(axis="x", color="#dddddd", linewidth=0.6)
    panels[-1].set_axisbelow(True)
    figure.legend(loc="outside lower right", ncols=len(tasks), fontsize=8, frameon=False)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=130)


def _tidy(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8, length=2)
    axes.spines[["top", "right"]].set_visible(False)
