"""Learning curves on validation, with bands over seeds."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 120


def curves(material: Material) -> "tuple[Figure, str]":
    """The average and each task's main metric over training."""
    logged, titles = _logged(material)
    names = [name for name in titles if (logged["name"] == name).any()]
    if not names:
        raise NothingToShowError("No score on validation was logged during training.")
    if logged.loc[logged["name"].isin(names), "step"].nunique() == 1:
        raise NothingToShowError("Validation came once, at the end of training: there are no curves.")
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure = new_figure(7.2 if columns < 3 else 9.0, 0.9 + 2.4 * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        draw(panel, material, logged[logged["name"] == name])
        panel.set_title(titles[name], loc="left")
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.supxlabel("optimizer step", fontsize=9)
    legend(figure, material, panels[: len(names)])
    return figure, (
        "Scores on validation over training: mean over seeds; the band reaches from the lowest seed to the highest."
    )


def _logged(material: Material) -> tuple[pd.DataFrame, dict[str, str]]:
    """What is drawn, and the title of each of its names."""
    logged = material.evidence.curves
    alone = logged["contestant"].map(is_single_task).astype(bool)
    logged = logged[~(alone & (logged["name"] == "val/average"))]  # of one task each
    titles = {"val/average": "average of the main metrics"} if len(material.main) > 1 else {}
    titles |= {f"val/{m.task}/{m.metric}": f"{short(m.task)}: {m.metric}" for m in material.main.itertuples()}
    return logged, titles


def draw(axes: "Axes", material: Material, logged: pd.DataFrame) -> None:
    """A line for each contestant; a band for those that have a colour."""
    for name, look in material.looks.items():
        part = thinned(logged[logged["contestant"] == name])
        if part.empty:
            continue
        axes.plot(
            part.index, part["mean"], color=look.colour, lw=1.5 if look.strong else 0.7, zorder=look.order, label=name,
            marker=look.marker, ms=4, markevery=max(len(part) // 5, 1),
        )  # fmt: skip
        if look.strong:
            axes.fill_between(part.index, part["min"], part["max"], color=look.colour, alpha=0.15, lw=0, zorder=1)
    axes.grid()


def thinned(logged: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """Mean, least and greatest value over seeds by step; many steps are put together, so that a file stays small.

    Args:
        logged: ``seed, step, value``.
        most: Points that are left.

    Returns:
        ``mean, min, max`` by step.
    """
    logged = logged[np.isfinite(logged["value"].astype(float))]
    steps = np.sort(logged["step"].unique())
    if len(steps) > most:
        bins = steps[np.searchsorted(steps, np.linspace(steps[0], steps[-1], most + 1)[:-1])]
        at = np.searchsorted(bins, logged["step"], side="right") - 1
        logged = logged.assign(step=bins[at]).groupby(["seed", "step"], as_index=False)["value"].mean()
    return logged.groupby("step")["value"].agg(["mean", "min", "max"])


def legend(figure: "Figure", material: Material, panels: "list[Axes]") -> None:
    """One legend for all panels; the grey ones share a line in it."""
    found = {}
    for panel in panels:
        found.update(dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True)))
    strong = [name for name in material.looks if name in found and material.looks[name].strong]
    grey = [name for name in material.looks if name in found and not material.looks[name].strong]
    handles = [found[name] for name in [*strong, *grey[:1]]]
    labels = [material.looks[name].label for name in strong] + ([f"{len(grey)} others"] if grey else [])
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))
