"""Which task uses which expert: a panel a contestant and level."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.heat import MOST_NUMBERED, heat
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PANELS = 12


def experts(material: Material) -> "tuple[Figure, str]":
    """What each task took of each expert in the last epoch of a run, with the first seed that has finished."""
    found = material.evidence.gates
    if found.empty:
        raise NothingToShowError
    first = found.groupby("contestant")["seed"].transform("min")
    panels = list(found[found["seed"] == first].groupby(["contestant", "level"], sort=False))
    strong = sorted((key for key, _ in panels), key=lambda key: not material.looks[key[0]].strong)[:MOST_PANELS]
    shown = [(key, part) for key, part in panels if key in strong]
    widest = max(part["expert"].nunique() for _, part in shown)
    columns = min(len(shown), 2 if widest > 6 else 3)
    lines, tasks = -(-len(shown) // columns), len(material.evidence.tasks)
    figure = new_figure(columns * min(7.0, 1.2 + 0.42 * widest), 0.3 + lines * (1.0 + 0.42 * tasks))
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, ((name, level), part) in zip(axes, shown, strict=False):
        matrix, rows, names = table(part, material.evidence.tasks)
        mesh = heat(panel, matrix, [short(row) for row in rows], 1.0, 2, [short(expert) for expert in names])
        panel.set_title(f"{material.looks[name].label}{f', {level}' if level else ''}", loc="left")
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    if max(widest, tasks) > MOST_NUMBERED:
        figure.colorbar(mesh, ax=axes.tolist(), location="top", shrink=0.4, aspect=30)
    left = f" Shown are {len(shown)} of {len(panels)} panels." if len(shown) < len(panels) else ""
    return figure, (
        "What each task (row) took of each expert (column) in the last epoch of the first seed, 1 in sum over a row; "
        f"an expert that a task cannot read has no cell. Experts of different seeds have no common order.{left}"
    )


def table(part: pd.DataFrame, tasks: list[str]) -> tuple[np.ndarray, list[str], list[str]]:
    """Shares by task and expert [T, E] with the names of both; not a number where a task cannot read an expert."""
    rows = [task for task in tasks if (part["task"] == task).any()]
    names = list(dict.fromkeys(part["expert"]))
    shares = part.pivot_table(index="task", columns="expert", values="share").reindex(index=rows, columns=names)
    return shares.to_numpy(dtype=float), rows, names
