"""Names beside points and lines that do not cover each other."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mtl_lightning.compare.report.plots.looks import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

SIZE = 7.5
CLEAR = 4.5
"""Points (1/72 inch) that are kept free around a marker."""
RINGS = (4, 7, 12, 20, 32, 46)
"""Points between a marker and its name, tried in turn; lines longer than the last would cross too much."""
DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))
"""First the corners, where no interval passes."""


def label_points(axes: "Axes", points: Sequence[tuple[float, float, str]]) -> list[str]:
    """Names points, each in the nearest free place around it, with a line to it where that is not beside it.

    Args:
        axes: Whose limits are final.
        points: ``x, y, text`` in data coordinates, the most important first.

    Returns:
        The texts for which there was no place.
    """
    from matplotlib.transforms import Affine2D, Bbox

    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    to_points = Affine2D().scale(72 / axes.figure.dpi)
    inside = axes.get_window_extent().transformed(to_points)
    middles = [tuple((axes.transData + to_points).transform((x, y))) for x, y, _ in points]
    taken = [Bbox.from_extents(x - CLEAR, y - CLEAR, x + CLEAR, y + CLEAR) for x, y in middles]
    lost = []
    for (x, y, text), middle in zip(points, middles, strict=True):
        size = _size(axes, text).transformed(to_points)
        place = next((at for at in _places(size.width, size.height) if _free(at, middle, inside, taken)), None)
        if place is None:
            lost.append(text)
            continue
        _write(axes, text, (x, y), place)
        taken.append(place.translated(*middle))
    return lost


def _size(axes: "Axes", text: str) -> "Bbox":
    written = axes.text(0, 0, text, fontsize=SIZE)
    size = written.get_window_extent()
    written.remove()
    return size


def _write(axes: "Axes", text: str, point: tuple[float, float], place: "Bbox") -> None:
    """Writes a name, with a line from its nearest edge where it is not beside the point."""
    nearest = tuple(0.0 if low > 0 else 1.0 if high < 0 else 0.5 for low, high in (place.intervalx, place.intervaly))
    far = max(place.x0, -place.x1, place.y0, -place.y1) > RINGS[1]
    line = {"arrowstyle": "-", "color": FAINT, "lw": 0.5, "shrinkA": 0, "shrinkB": 3, "relpos": nearest}
    middle = ((place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SIZE, "zorder": 5}
    note = axes.annotate(text, point, middle, textcoords="offset points", arrowprops=line if far else None, **style)
    note.set_in_layout(False)


def _places(width: float, height: float) -> "Iterator[Bbox]":
    from matplotlib.transforms import Bbox

    for ring in RINGS:
        xs, ys = {1: ring, 0: -width / 2, -1: -ring - width}, {1: ring, 0: -height / 2, -1: -ring - height}
        for right, up in DIRECTIONS:
            yield Bbox.from_bounds(xs[right], ys[up], width, height)


def _free(place: "Bbox", middle: tuple[float, float], inside: "Bbox", taken: "list[Bbox]") -> bool:
    box = place.translated(*middle)
    within = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0 and box.y1 <= inside.y1
    return within and not any(box.overlaps(other) for other in taken)


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Moves values apart, as little as need be, until neighbours are ``gap`` apart; their order stays.

    >>> spread([1.0, 1.0, 5.0], 1.0)
    [0.5, 1.5, 5.0]
    """
    order = sorted(range(len(values)), key=lambda at: values[at])
    blocks: list[list[float]] = []  # sum of wished first positions, number of values
    for at, index in enumerate(order):
        blocks.append([values[index] - at * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    starts = [total / count for total, count in blocks for _ in range(int(count))]
    placed = dict(zip(order, (start + at * gap for at, start in enumerate(starts)), strict=True))
    return [placed[index] for index in range(len(values))]
