"""Matrices as coloured cells with their numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_lightning.compare.report.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap


MOST_NUMBERED = 8
"""Tasks up to which the numbers in the cells can be read."""


def diverging() -> "LinearSegmentedColormap":
    """From vermilion (conflict) over pale grey to blue, told apart with any colour vision."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("conflict", ["#b8470b", "#f0b48c", "#f2f2f2", "#8fc1e3", "#0b5a94"])


def heat(
    axes: "Axes",
    matrix: np.ndarray,
    labels: list[str],
    largest: float,
    digits: int,
    columns: list[str] | None = None,
) -> "ScalarMappable":
    """Draws a matrix; cells that are not numbers stay empty.

    Args:
        axes: Empty.
        matrix: [R, C].
        labels: Of its rows.
        largest: Magnitude at the ends of the colours.
        digits: Decimal places of the numbers in the cells.
        columns: Labels of its columns; null: those of the rows.
    """
    columns = labels if columns is None else columns
    count = max(len(labels), len(columns))
    shown = np.ma.masked_invalid(matrix)
    mesh = axes.pcolormesh(shown, cmap=diverging(), vmin=-largest, vmax=largest, edgecolors="none")
    for row, column in np.ndindex(len(labels), len(columns)):
        value = float(matrix[row, column])
        if np.isfinite(value) and count <= MOST_NUMBERED:
            colour = "#ffffff" if abs(value) > 0.7 * largest else "#101010"
            size = min(8.0, 60 / count)
            axes.text(
                column + 0.5, row + 0.5, number(value, digits), ha="center", va="center", fontsize=size, color=colour
            )
    crowded = len(columns) * max(map(len, columns)) > 28
    slant: dict[str, Any] = {"rotation": 35, "ha": "right"} if crowded else {}
    axes.set_xticks(np.arange(len(columns)) + 0.5, labels=columns, fontsize=7.5, **slant)
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels=labels, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    return mesh
