"""Forest plot: a row a contestant, its mean and its interval, and every seed."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import pandas as pd

from mtl_lightning.compare.report.plots.canvas import new_figure
from mtl_lightning.compare.report.plots.looks import INK, Material, NothingToShowError
from mtl_lightning.compare.report.quality import quality_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def delta_m(material: Material) -> "tuple[Figure, str]":
    """Δm of each contestant, or its difference to the reference where there is no baseline."""
    quality = material.quality.dropna(subset=["mean"]).sort_values("mean", kind="stable")
    if quality.empty:
        raise NothingToShowError("No contestant has a Δm or a difference to the reference.")
    figure = new_figure(7.2, 1.1 + 0.26 * len(quality))
    axes = figure.subplots()
    deltas = material.summary.deltas
    seeds = deltas[deltas["convention"] == material.summary.convention] if len(deltas) else deltas
    rows(axes, material, quality, seeds)
    axes.axvline(0, color=INK, lw=0.8, ls=(0, (4, 3)), zorder=1)
    name = quality_name(material.evidence, material.summary)
    axes.set_xlabel(name)
    small = f", each {material.evidence.replicates} (small)" if len(seeds) else ""
    line = "the single-task baseline" if len(seeds) else material.evidence.reference
    return figure, (
        f"{name[0].upper()}{name[1:]}: mean and 95 % confidence interval of each contestant{small}, best on top. "
        f"Right is better; the dashed line is {line}."
    )


def rows(axes: "Axes", material: Material, means: pd.DataFrame, seeds: pd.DataFrame) -> None:
    """Draws a row for each contestant, the last one on top.

    Args:
        axes: Empty.
        material: Gives the looks.
        means: ``mean, low, high`` by contestant.
        seeds: ``contestant, value``.
    """
    for at, (name, row) in enumerate(means.iterrows()):
        look = material.looks[name]
        values = seeds.loc[seeds["contestant"] == name, "value"] if len(seeds) else []
        axes.plot(values, [at + 0.27] * len(values), ls="", marker=".", ms=3, color=look.colour, alpha=0.6)
        half = [[row["mean"] - row.low], [row.high - row["mean"]]]
        axes.errorbar(
            row["mean"], at, xerr=half, color=look.colour, marker=look.marker, ms=6, lw=1.6, capsize=3, label=name
        )
    axes.set_yticks(range(len(means)), labels=[material.looks[name].label for name in means.index])
    axes.set_ylim(-0.6, len(means) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    bound(axes, means, seeds)


def bound(axes: "Axes", means: pd.DataFrame, seeds: pd.DataFrame) -> None:
    """Keeps one contestant that is far off from pressing all others together: what lies outside gets an arrow."""
    inside = near(means["mean"].tolist())
    if all(inside):
        return
    kept = means[inside]
    each = seeds.loc[seeds["contestant"].isin(kept.index), "value"] if len(seeds) else []
    axes.set_xlim(*padded([0.0, *kept["mean"], *kept["low"], *kept["high"], *each]))
    for at, (mean, is_near) in enumerate(zip(means["mean"], inside, strict=True)):
        if not is_near:
            left = mean < kept["mean"].min()
            axes.annotate(
                f"◀ {mean:.4g}" if left else f"{mean:.4g} ▶",
                (0.01 if left else 0.99, at),
                xycoords=("axes fraction", "data"),
                ha="left" if left else "right",
                va="center",
                fontsize=8,
            )


def near(values: Sequence[float], reach: float = 6.0) -> list[bool]:
    """Which values are not far from the middle half of them: at most ``reach`` times its width.

    >>> near([1.0, 2.0, 3.0, 4.0, -900.0])
    [True, True, True, True, False]
    >>> near([1.0, 1.0, 1.0, 900.0])
    [True, True, True, True]
    """
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    margin = reach * (high - low)
    return [margin <= 0 or low - margin <= value <= high + margin for value in values]


def padded(values: Sequence[float], share: float = 0.04) -> tuple[float, float]:
    """Limits around the values that are numbers, with some room.

    >>> padded([0.0, 100.0, float("nan")])
    (-4.0, 104.0)
    >>> padded([50.0, 50.0])
    (48.0, 52.0)
    """
    known = [value for value in values if isfinite(value)]
    room = share * (max(known) - min(known) or abs(max(known)) or 1.0)
    return min(known) - room, max(known) + room
