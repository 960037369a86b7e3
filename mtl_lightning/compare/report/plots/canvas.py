"""Figures without global state, and files that are the same bytes for the same data."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_lightning.compare.report.plots.looks import INK, RULE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
)
DPI = 150
STYLE = {
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "mtl_lightning",
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are drawn in the report's style, whatever the user's own settings."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in there)]
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a PNG without a font for it; the SVG holds text
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"font.family": fonts})
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure.

    Args:
        width: In inches.
        height: In inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", stem: Path) -> tuple[str, tuple[Path, ...]]:
    """Writes ``<stem>.png`` and ``<stem>.svg`` on white.

    Returns:
        The SVG without a ground, for a page; and the files.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # is done; each file would do it again
    png, vector = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    figure.savefig(png, dpi=DPI, facecolor="white", metadata={"Software": None})
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE)
    vector.write_text(svg.replace("<svg ", '<svg style="background: #fff" ', 1), encoding="utf-8")
    return svg, (png, vector)
