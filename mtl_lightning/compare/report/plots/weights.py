"""Weights over training: a panel a contestant, a line a task."""

from typing import TYPE_CHECKING

import pandas as pd

from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.curves import thinned
from mtl_lightning.compare.report.plots.looks import DASHES, TASKS, Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFIX = "train/weight/"
COLUMNS = 4
MOST_BANDS = 6
"""Tasks up to which bands can be told apart."""


def weights(material: Material) -> "tuple[Figure, str]":
    """The mean weight of each task over seeds, with the band of the seeds."""
    logged = material.evidence.curves
    logged = logged[logged["name"].str.startswith(PREFIX)]
    names = [name for name in material.looks if not is_single_task(name) and (logged["contestant"] == name).any()]
    if not names or len(material.evidence.tasks) < 2:
        raise NothingToShowError("No weights were logged, or there is one task.")
    columns = min(len(names), COLUMNS)
    lines = -(-len(names) // columns)
    figure = new_figure(9.0 if columns > 2 else 7.2, 0.8 + 1.7 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
    for panel, name in zip(panels, names, strict=False):
        _panel(panel, material, logged[logged["contestant"] == name])
        panel.set_title(material.looks[name].label, loc="left")
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.supxlabel("optimizer step", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 5))
    return figure, (
        "Weight of each task's loss over optimizer steps, mean over seeds (up to six tasks: and a band from the lowest "
        "seed to the highest). Every panel has its own scale: weightings differ in it by orders of magnitude."
    )


def _panel(panel: "Axes", material: Material, logged: pd.DataFrame) -> None:
    tasks = material.evidence.tasks
    for at, task in enumerate(tasks):
        part = thinned(logged[logged["name"] == PREFIX + task], most=60)
        colour, dashes = TASKS[at % len(TASKS)], DASHES[at % len(DASHES)]
        panel.plot(part.index, part["mean"], color=colour, ls=dashes, lw=1.4, label=short(task))
        if len(tasks) <= MOST_BANDS:
            panel.fill_between(part.index, part["min"], part["max"], color=colour, alpha=0.15, lw=0)
    panel.grid()
    panel.tick_params(labelsize=7)
    panel.locator_params(nbins=5)
