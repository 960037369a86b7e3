"""Critical-difference diagram (Demšar 2006, figure 1)."""

from math import ceil, floor, isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from mtl_lightning.compare.report.numbers import number, probability
from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.looks import INK, Material, NothingToShowError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = -0.9


def critical_difference(material: Material) -> "tuple[Figure, str]":
    """Mean ranks on a line; a bar joins contestants whose ranks do not differ by more than the critical difference.

    Reference:
        Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, figure 1.
    """
    summary = material.summary
    ranks = summary.ranks.dropna(subset=["mean_rank"]).set_index("contestant")["mean_rank"].sort_values(kind="stable")
    if len(ranks) < 2:
        raise NothingToShowError("Fewer than two contestants have a rank.")
    if not isfinite(summary.critical_difference):
        raise NothingToShowError("Mean ranks have no critical difference with fewer than two seeds.")
    bars = [group for group in summary.groups if len(group) > 1]
    figure = new_figure(7.2, 1.0 + 0.24 * ceil(len(ranks) / 2) + 0.14 * len(bars))
    axes = figure.subplots()
    _scale(axes, floor(ranks.min()), ceil(ranks.max()), summary.critical_difference)
    for at, group in enumerate(bars):
        ends = [ranks[group].min() - 0.03, ranks[group].max() + 0.03]
        axes.plot(ends, [0.45 + 0.55 * at] * 2, color=INK, lw=3.5, solid_capstyle="butt")
    _names(axes, material, ranks, 0.5 + 0.55 * len(bars))
    axes.set_axis_off()
    return figure, (
        f"Mean rank over seeds, 1 is best. A bar joins contestants that differ by less than the critical difference "
        f"({number(summary.critical_difference, 2)}): no difference between them is shown. Friedman test that all rank "
        f"alike: p {'=' if summary.friedman_p >= 0.0005 else ''} {probability(summary.friedman_p)}."
    )


def _scale(axes: "Axes", low: int, high: int, difference: float) -> None:
    axes.plot([low, high], [0, 0], color=INK, lw=1)
    step = next(step for step in (1, 2, 5, 10, 20) if high - low <= 10 * step)
    for tick in sorted({low, *range(low - low % step, high + 1, step)} - set(range(low - step, low))):
        axes.plot([tick, tick], [0, -0.18], color=INK, lw=1)
        axes.text(tick, -0.3, str(tick), ha="center", va="bottom", fontsize=8)
    end = low + difference
    axes.plot([low, end], [TOP - 0.4] * 2, color=INK, lw=1.5, marker="|", ms=6, label="critical difference")
    axes.text(
        min((low + end) / 2, high),
        TOP - 0.55,
        f"critical difference {number(difference, 2)}",
        ha="center",
        va="bottom",
        fontsize=8,
    )


def _names(axes: "Axes", material: Material, ranks: pd.Series, depth: float) -> None:
    """The better half on the left, the others on the right, each on a line of its own below ``depth``."""
    half, low, high = ceil(len(ranks) / 2), floor(ranks.min()), ceil(ranks.max())
    for at, (name, rank) in enumerate(ranks.items()):
        left = at < half
        row, edge = depth + (at if left else len(ranks) - 1 - at), low - 0.02 if left else high + 0.02
        look, value = material.looks[name], number(rank, 2)
        axes.plot([rank, rank, edge], [0, row, row], color=look.colour, lw=1, label=name)
        axes.plot(rank, 0, look.marker, color=look.colour, ms=5, zorder=4)
        style: dict[str, Any] = {"ha": "right" if left else "left", "va": "center", "fontsize": 8}
        text = f"{look.label} {value}" if left else f"{value} {look.label}"
        axes.annotate(text, (edge, row), (-3 if left else 3, 0), textcoords="offset points", **style)
    axes.set_xlim(low - 0.02, high + 0.02)  # names then start at the edge, where the layout makes room for them
    axes.set_ylim(depth + half - 0.4, TOP - 1.3)
