"""The curve of a report as a picture. It needs matplotlib."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from mtl_lightning.adapt.curve import Point
from mtl_lightning.writing import writing

_BLUE, _GREY = "#0072b2", "#8b8b8c"


def write_plot(path: Path, points: Sequence[Point], metric: str, title: str) -> None:
    """Draws the mean of the draws against the number of examples, its 95 % interval, and each draw as a dot.

    Args:
        path: The PNG file.
        points: Of the curve, one at least.
        metric: What the scores are.
        title: Above the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure((5.0, 3.4), layout="constrained")
    axes = figure.subplots()
    shots, means = [point.shots for point in points], [point.mean for point in points]
    for point in points:
        axes.plot([point.shots] * len(point.scores), point.scores, ".", color=_GREY, markersize=4, zorder=1)
        if isfinite(point.low) and isfinite(point.high):
            axes.vlines(point.shots, point.low, point.high, color=_BLUE, linewidth=1.5, zorder=2)
    axes.plot(shots, means, "o-", color=_BLUE, markersize=5, linewidth=1.2, zorder=3)
    axes.set_xscale("log")
    axes.set_xticks(shots, [str(number) for number in shots])
    axes.minorticks_off()
    axes.set(xlabel="examples of each label", ylabel=metric)
    axes.set_title(title, fontsize=9)
    axes.grid(axis="y", linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    with writing(path):
        figure.savefig(path, dpi=130)
