"""The report of a comparison: a page, Markdown, tables of every run, and plots."""

from importlib.util import find_spec
from pathlib import Path

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.markdown import markdown
from mtl_lightning.compare.report.page import page
from mtl_lightning.compare.report.plots import Plot, write_plots
from mtl_lightning.compare.report.results import write_results
from mtl_lightning.compare.statistics.summary import Summary
from mtl_lightning.writing import writing

__all__ = ["write_report"]


def write_report(evidence: Evidence, summary: Summary, folder: Path) -> list[Path]:
    """Writes the report; the same evidence and summary give the same bytes.

    Args:
        evidence: What was found.
        summary: What the statistics make of it.
        folder: Is made where it is missing; files of the same name in it are replaced.

    Returns:
        The files: ``report.html`` (needs nothing beside it), ``report.md``, ``results.csv``, ``results.parquet`` and
        ``plots/<name>.png`` and ``.svg``. Without matplotlib there are no plots, and the report says so.
    """
    with writing(folder, hint="then the same command makes the report of the runs that are done"):
        return _write_report(evidence, summary, folder)


def _write_report(evidence: Evidence, summary: Summary, folder: Path) -> list[Path]:
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    plots = _plots(evidence, summary, folder / "plots")
    texts = {"report.html": page(evidence, summary, plots), "report.md": markdown(evidence, summary, plots)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    drawn = [file for plot in plots for file in plot.files]
    return [*(folder / name for name in texts), *write_results(evidence, folder), *drawn]


def _plots(evidence: Evidence, summary: Summary, folder: Path) -> list[Plot]:
    if find_spec("matplotlib") is None:
        return [Plot("plots", "Every plot", "matplotlib is not installed: pip install 'mtl-lightning[plots]'.")]
    return write_plots(evidence, summary, folder)
