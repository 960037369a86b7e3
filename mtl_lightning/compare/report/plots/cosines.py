"""Cosines between the tasks' gradients."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.forest import rows
from mtl_lightning.compare.report.plots.heat import MOST_NUMBERED, heat
from mtl_lightning.compare.report.plots.looks import INK, Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 12
"""Half as many where the matrices are large."""


def cosines(material: Material) -> "tuple[Figure, str]":
    """Two tasks: a row a contestant; more: a matrix a contestant."""
    found, tasks = material.evidence.cosines.dropna(subset=["cosine"]), material.evidence.tasks
    found = found[found["first"].isin(tasks) & found["second"].isin(tasks)]
    names = [name for name in material.evidence.contestants if (found["contestant"] == name).any()]
    if not names:
        raise NothingToShowError("No cosines between gradients were logged.")
    if len(tasks) == 2:
        return _rows(material, found, names)
    caption = "Cosine between two tasks' gradients, mean over training and seeds; orange conflicts, blue agrees."
    return matrices(material, found, caption)


def _rows(material: Material, found: pd.DataFrame, names: list[str]) -> "tuple[Figure, str]":
    figure = new_figure(7.2, 1.1 + 0.26 * len(names))
    axes = figure.subplots()
    means = found.groupby("contestant")["cosine"].mean().loc[names[::-1]].to_frame("mean")
    rows(axes, material, means.assign(low=np.nan, high=np.nan), found.rename(columns={"cosine": "value"}))
    axes.axvline(0, color=INK, lw=0.8, ls=(0, (4, 3)), zorder=1)
    tasks = " and ".join(short(task) for task in material.evidence.tasks)
    axes.set_xlabel(f"cosine between the gradients of {tasks}")
    return (
        figure,
        "Cosine between the two tasks' gradients, mean over training, small points are seeds. Left of 0 they conflict.",
    )


def matrices(material: Material, found: pd.DataFrame, caption: str) -> "tuple[Figure, str]":
    """A matrix for each contestant, of which there may be too many to show.

    Args:
        material: Of the report.
        found: ``contestant, first, second, cosine``.
        caption: What is seen.
    """
    tasks = material.evidence.tasks
    found = found[found["first"].isin(tasks) & found["second"].isin(tasks)]
    known = [name for name in material.evidence.contestants if (found["contestant"] == name).any()]
    most = MOST_PANELS if len(tasks) <= 5 else MOST_PANELS // 2
    strong = sorted(known, key=lambda name: not material.looks[name].strong)[:most]
    names = [name for name in known if name in strong]
    columns = min(len(names), 4 if len(tasks) <= 5 else 2)
    lines, side = -(-len(names) // columns), min(9.0 / max(columns, 2), 1.2 + 0.55 * len(tasks))
    figure = new_figure(max(side * columns, 4.5), 0.3 + side * 0.95 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        matrix = symmetric(found[found["contestant"] == name], tasks)
        mesh = heat(panel, matrix, [short(task) for task in tasks], 1.0, 2)
        panel.set_title(material.looks[name].label, loc="left")
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    if len(tasks) > MOST_NUMBERED:
        figure.colorbar(mesh, ax=panels.tolist(), location="top", shrink=0.4, aspect=30)
    left = f" Shown are {len(names)} of {len(known)} contestants." if len(known) > len(names) else ""
    return figure, f"{caption}{left}"


def symmetric(found: pd.DataFrame, tasks: list[str]) -> np.ndarray:
    """Mean cosine of each pair as a matrix [K, K]; not a number on the diagonal and where nothing was logged."""
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    for (first, second), cosine in found.groupby(["first", "second"])["cosine"].mean().items():
        row, column = tasks.index(first), tasks.index(second)
        matrix[row, column] = matrix[column, row] = cosine
    return matrix
