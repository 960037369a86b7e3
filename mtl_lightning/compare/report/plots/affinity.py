"""Which tasks help each other, as a heat map."""

from typing import TYPE_CHECKING

import numpy as np

from mtl_lightning.compare.report.numbers import places
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.heat import MOST_NUMBERED, heat
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError, short
from mtl_lightning.compare.report.tables.affinity import SOURCES, strongest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def affinity(material: Material) -> "tuple[Figure, str]":
    """The matrix of the summary."""
    summary = material.summary
    matrix = summary.affinity.to_numpy(dtype=float)
    values = matrix[np.isfinite(matrix)]
    if not len(values):
        raise NothingToShowError("There is no affinity between tasks: no pairs were trained and no cosines logged.")
    side = 2.2 + 0.45 * len(matrix)
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    labels = [short(str(task)) for task in summary.affinity.index]
    mesh = heat(axes, matrix, labels, strongest(summary), places([], values))
    if len(labels) > MOST_NUMBERED:
        figure.colorbar(mesh, shrink=0.7)
    axes.set_ylabel("this task …")
    axes.set_xlabel("… beside this one")
    what = SOURCES.get(summary.affinity_source, summary.affinity_source)
    return figure, f"{what.capitalize()}; blue helps, orange hinders."
