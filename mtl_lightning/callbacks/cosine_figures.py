"""Pictures of the cosines between the tasks' gradients. They need matplotlib."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression

from mtl_lightning.callbacks.cosines import Array, CosineHistory, Part
from mtl_lightning.writing import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LINES = 8
_MAX_NUMBERS = 12
_LINE_COLOURS = [f"C{number}" for number in range(10) if number != 7]
_GREY, _DARK_GREY = "#b4b4b4", "#666666"
_POINTS = 24
_PHASES = 6
_COLOURS = "RdBu"
_NOTHING = "#d9d9d9"


def draw_matrix(history: CosineHistory, path: Path) -> None:
    """Draws the mean cosines between all tasks as a heat map: red is conflict; an outline, conflict beyond noise.

    Args:
        history: What to draw.
        path: Of the PNG file.
    """
    (part,) = history.parts(1)
    tasks = history.tasks
    side = len(tasks) * (0.75 if len(tasks) <= _MAX_NUMBERS else 0.28)
    figure = _figure(max(side, 2.2) + 2.2, max(side, 2.2) + 1.2)
    axes = figure.subplots()
    image = _heat_map(axes, part, _limit([part]), tasks, tasks)
    if len(tasks) <= _MAX_NUMBERS:
        _write_numbers(axes, part.means, _limit([part]))
    conflicts = history.conflicts()
    for conflict in conflicts:
        _outline(axes, [tasks.index(task) for task in conflict.tasks])
    title = f"Cosines between the tasks' gradients\nmean of steps {part.first} to {part.last}"
    axes.set_title(title + ("; outlined: conflict" if conflicts else ""), fontsize=10, loc="left")
    _colour_bar(figure, image, axes)
    _save(figure, path)


def draw_training(history: CosineHistory, path: Path) -> None:
    """Draws the cosines over training: a line for each pair of up to 8 tasks; for more, a heat map for each phase.

    Args:
        history: What to draw.
        path: Of the PNG file.
    """
    if len(history.tasks) <= MAX_LINES:
        _draw_lines(history, path)
    else:
        _draw_phases(history, path)


def _draw_lines(history: CosineHistory, path: Path) -> None:
    pairs = list(zip(*np.triu_indices(len(history.tasks), 1), strict=True))
    (whole,), parts = history.parts(1), history.parts(_POINTS)
    pairs = sorted((pair for pair in pairs if np.isfinite(whole.means[pair])), key=lambda pair: whole.means[pair])
    height = max(3.6, 0.19 * len(pairs) + 1)
    figure = _figure(9, height)
    axes = figure.subplots()
    steps = np.array([(part.first + part.last) / 2 for part in parts])
    curves = np.array([[part.means[pair] for part in parts] for pair in pairs]).reshape(len(pairs), len(parts))
    low, high = min(0.0, np.nanmin(curves, initial=0)), max(0.0, np.nanmax(curves, initial=0))
    margin = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)
    axes.axhspan(low - margin, 0, color="tab:red", alpha=0.06, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.8)
    ends = []
    colours = [*_LINE_COLOURS, *[_GREY] * len(pairs)][: len(pairs)]
    for curve, colour in zip(curves, colours, strict=True):
        seen = np.isfinite(curve)
        width = 0.8 if colour == _GREY else 1.6
        axes.plot(steps[seen], curve[seen], color=colour, linewidth=width, marker="o", markersize=2 * width)
        ends.append((steps[seen][-1], curve[seen][-1]))
    names = [f"{history.tasks[i]} / {history.tasks[j]} ({whole.means[i, j]:+.2f})" for i, j in pairs]
    _label_ends(axes, ends, names, colours, spacing=0.19 / (height - 1) * (high - low + 2 * margin))
    axes.set_title("Cosines between the tasks' gradients over training (in brackets: mean)", fontsize=10, loc="left")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("cosine (below 0: conflict)")
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _draw_phases(history: CosineHistory, path: Path) -> None:
    parts, tasks = history.parts(_PHASES), history.tasks
    columns = min(3, len(parts))
    rows = ceil(len(parts) / columns)
    side = max(2.4, 0.135 * len(tasks))
    figure = _figure(columns * side + 2.2, rows * (side + 0.35) + 1.2)
    grid = figure.subplots(rows, columns, squeeze=False)
    limit = _limit(parts)
    for axes in grid.flat[len(parts) :]:
        axes.set_axis_off()
    for number, (axes, part) in enumerate(zip(grid.flat, parts, strict=False)):
        left, bottom = number % columns == 0, number + columns >= len(parts)
        image = _heat_map(axes, part, limit, tasks if bottom else (), tasks if left else ())
        axes.set_title(f"steps {part.first} to {part.last}", fontsize=9)
    figure.suptitle("Cosines between the tasks' gradients over training", fontsize=11)
    _colour_bar(figure, image, grid)
    _save(figure, path)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def _limit(parts: Sequence[Part]) -> float:
    """The end of the colour scale: the largest absolute cosine, rounded up to a tenth."""
    others = ~np.eye(len(parts[0].means), dtype=bool)
    largest = max(float(np.abs(np.nan_to_num(part.means[others])).max()) for part in parts)
    return max(0.1, ceil(10 * largest) / 10)


def _heat_map(axes: "Axes", part: Part, limit: float, below: Sequence[str], beside: Sequence[str]) -> Any:
    hidden = np.eye(len(part.means), dtype=bool) | ~np.isfinite(part.means)
    axes.set_facecolor(_NOTHING)
    image = axes.imshow(np.ma.masked_array(part.means, hidden), cmap=_COLOURS, vmin=-limit, vmax=limit)
    size = 9 if len(part.means) <= _MAX_NUMBERS else 7
    angle = 40 if len(part.means) <= MAX_LINES else 90
    axes.set_xticks(range(len(below)), below, fontsize=size, rotation=angle)
    for label in axes.get_xticklabels():
        label.set(ha="right", va="center" if angle == 90 else "top", rotation_mode="anchor")
    axes.set_yticks(range(len(beside)), beside, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def _write_numbers(axes: "Axes", means: Array, limit: float) -> None:
    for (i, j), value in np.ndenumerate(means):
        if i != j and np.isfinite(value):
            axes.text(
                j, i, f"{value:+.2f}", ha="center", va="center", color="white" if abs(value) > 0.65 * limit else "black"
            )


def _outline(axes: "Axes", pair: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    for i, j in (pair, pair[::-1]):
        axes.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, linewidth=1.5))


def _colour_bar(figure: "Figure", image: Any, axes: Any) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=25)
    bar.set_label("cosine (red: conflict)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _label_ends(
    axes: "Axes", ends: Sequence[tuple[float, float]], names: Sequence[str], colours: Sequence[str], spacing: float
) -> None:
    """Names lines at their right ends, at heights as near to theirs as legible."""
    order = sorted(range(len(ends)), key=lambda number: ends[number][1])
    shifts = spacing * np.arange(len(ends))
    heights = isotonic_regression(np.array([ends[number][1] for number in order]) - shifts).x + shifts if ends else ()
    for number, height in zip(order, heights, strict=True):
        axes.annotate(
            names[number],
            ends[number],
            (1.06, height),
            textcoords=("axes fraction", "data"),
            color=_DARK_GREY if colours[number] == _GREY else colours[number],
            fontsize=9,
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": colours[number], "relpos": (0, 0.5)},
        )
