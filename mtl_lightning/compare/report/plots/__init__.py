"""The report's plots. They need matplotlib; every other part of the report does without."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.wording import worded
from mtl_lightning.compare.report.plots import (
    affinity,
    cosines,
    cost,
    curves,
    embeddings,
    experts,
    forest,
    fronts,
    grids,
    ranks,
    tradeoff,
    weights,
)
from mtl_lightning.compare.report.plots.canvas import save, styled
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError
from mtl_lightning.compare.statistics.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN: dict[str, tuple[str, Callable[[Material], "tuple[Figure, str]"]]] = {
    "delta_m": ("Quality, with intervals", forest.delta_m),
    "tradeoff": ("Trade-off between tasks", tradeoff.tradeoff),
    "fronts": ("Fronts of preferences", fronts.fronts),
    "cost": ("Cost against quality", cost.cost),
    "critical_difference": ("Mean ranks", ranks.critical_difference),
    "curves": ("Learning curves on validation", curves.curves),
    "weights": ("Weights over training", weights.weights),
    "grids": ("Predictions of pixels", grids.grids),
    "experts": ("Use of experts", experts.experts),
    "embeddings": ("Similarity of task embeddings", embeddings.embeddings),
    "cosines": ("Conflict between tasks", cosines.cosines),
    "affinity": ("Affinity between tasks", affinity.affinity),
}
"""Name of the file, title, and the function that draws it and says in a caption what is seen."""


WIDE = 560
"""Points (1/72 inch) from which on a plot is too wide for one of two columns."""


@dataclass(frozen=True)
class Plot:
    """A plot that was drawn, or the reason why not.

    Attributes:
        name: Of its files.
        title: Its heading.
        caption: What is seen; or, where nothing is, why.
        svg: Text of the vector file; empty where there is nothing to show.
        files: That were written.
    """

    name: str
    title: str
    caption: str
    svg: str = ""
    files: tuple[Path, ...] = ()

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width of a page: it is wider than a column of text."""
        width = re.search(r'<svg [^>]*?width="([\d.]+)pt"', self.svg)
        return width is not None and float(width[1]) > WIDE


def write_plots(evidence: Evidence, summary: Summary, folder: Path) -> list[Plot]:
    """Draws everything that has something to show; of what the contestants do not have, nothing is said.

    Args:
        evidence: What was found.
        summary: What it says.
        folder: For ``<name>.png`` and ``<name>.svg``.
    """
    material = Material(evidence, summary)
    plots = [_plot(name, title, draw, material, folder) for name, (title, draw) in DRAWN.items()]
    return [plot for plot in plots if plot.svg or plot.caption]


def _plot(
    name: str, title: str, draw: Callable[[Material], "tuple[Figure, str]"], material: Material, folder: Path
) -> Plot:
    for suffix in (".png", ".svg"):  # of an earlier report, which may have had more to show
        Path(folder, name + suffix).unlink(missing_ok=True)
    with styled():
        try:
            figure, caption = draw(material)
        except NothingToShowError as reason:
            return Plot(name, title, worded(str(reason), material.evidence))
        svg, files = save(figure, folder / name)
    return Plot(name, title, worded(caption, material.evidence), svg, files)
