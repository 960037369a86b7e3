"""The report as one page that needs nothing but itself."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.wording import worded
from mtl_lightning.compare.report.headline import headline
from mtl_lightning.compare.report.plots import Plot
from mtl_lightning.compare.report.plots.looks import BROWN, FAINT, INK, PALETTE, PAPER, RULE, TASKS
from mtl_lightning.compare.report.tables import details, overview
from mtl_lightning.compare.statistics.summary import Summary

HERE = Path(__file__).parent / "page"
COLOURS = {INK: "ink", PAPER: "paper", FAINT: "faint", RULE: "rule", BROWN: "baseline"}
COLOURS |= {colour: f"series-{at}" for at, colour in enumerate(PALETTE)}
COLOURS |= {colour: f"task-{at}" for at, colour in enumerate(TASKS)}


def page(evidence: Evidence, summary: Summary, plots: list[Plot]) -> str:
    """The page's HTML.

    Names and messages are escaped; a policy in the page forbids every script but its own and every request.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (HERE / "page.js").read_text(encoding="utf-8")
    text = environment.get_template("page.html").render(
        evidence=evidence,
        summary=summary,
        notes=[worded(note, evidence) for note in summary.notes],
        answer=headline(evidence, summary),
        overview=overview(evidence, summary),
        details=details(evidence, summary),
        drawn=[(plot, Markup(inline(plot))) for plot in plots if plot.svg],
        left_out=[plot for plot in plots if not plot.svg],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )
    return text + "\n"


def inline(plot: Plot) -> str:
    """The plot's SVG as a part of the page: colours follow its theme, identifiers are the plot's own."""
    svg = plot.svg[plot.svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{plot.name}-", svg)
    for colour, name in COLOURS.items():
        svg = re.sub(rf"(?<=: ){colour}(?=[;\"])", f"var(--{name})", svg)
    width = float(re.findall(r'width="([\d.]+)pt"', svg)[0])
    pixels = f"{width * 4 / 3:.0f}px"
    size = f'style="max-width: {pixels}" viewBox='
    svg = re.sub(r'(?:width|height)="[\d.]+pt" ?', "", svg, count=2).replace("viewBox=", size, 1)
    return svg.replace(
        "<svg ", f'<svg role="img" aria-labelledby="{plot.name}-title" aria-describedby="{plot.name}-caption" ', 1
    )
