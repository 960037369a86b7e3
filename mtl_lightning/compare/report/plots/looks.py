"""Who has which colour and marker, the same in every plot."""

from dataclasses import dataclass

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.quality import quality
from mtl_lightning.compare.statistics.summary import Summary

INK, PAPER, FAINT, RULE = "#1b1b1c", "#fffffe", "#8b8b8c", "#d9d9da"
BROWN = "#80583a"
"""Of the single-task baseline."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255")
"""Okabe and Ito's colours, told apart with any colour vision, without yellow (unseen on white) and with a wine red."""
TASKS = ("#332288", "#44aa99", "#cc6677", "#999933", "#88ccee", "#aa4499", "#117733", "#ddaa33", "#661100", "#6699cc")
"""Paul Tol's muted colours, for tasks, so that none is taken for a contestant."""
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
MARKERS = "os^DvP<X>p*h"
LONGEST = 26


class NothingToShowError(Exception):
    """A plot has nothing to show; the text says why, for the reader of the report, if there is anything to say."""


@dataclass(frozen=True)
class Look:
    """How a contestant is drawn. Those that are not ``strong`` are grey, behind the others."""

    colour: str
    marker: str
    strong: bool
    label: str

    @property
    def order(self) -> int:
        """Which is in front of which."""
        return 3 if self.strong else 2


class Material:
    """What plots are drawn from.

    Args:
        evidence: What was found.
        summary: What it says.

    Attributes:
        looks: By contestant. The reference is black (white in the dark), the baseline brown; the best of the others
            have a colour, and the rest is grey.
        quality: ``mean, low, high`` by contestant.
        main: Rows of the main metrics, one for each task.
    """

    def __init__(self, evidence: Evidence, summary: Summary) -> None:
        self.evidence = evidence
        self.summary = summary
        self.quality = quality(evidence, summary)
        self.main = evidence.metrics[evidence.metrics["main"].astype(bool)]
        self.looks = _looks(evidence, self.quality["mean"])

    def means(self) -> pd.DataFrame:
        """``contestant, task, metric, mean, low, high, higher_is_better`` of the main metrics."""
        return self.summary.scores.merge(self.main, on=["task", "metric"])


def _looks(evidence: Evidence, quality: pd.Series) -> dict[str, Look]:
    names = evidence.contestants
    others = [name for name in names if name != evidence.reference and not is_single_task(name)]
    best = sorted(others, key=lambda name: -quality.fillna(-float("inf")).get(name, -float("inf")))
    coloured = [name for name in others if name in best[: len(PALETTE)]]
    baselines = dict.fromkeys(filter(is_single_task, names), BROWN)
    colours = {**baselines, evidence.reference: INK} | dict(zip(coloured, PALETTE, strict=False))
    return {
        name: Look(colours.get(name, FAINT), MARKERS[at % len(MARKERS)], name in colours, short(name))
        for at, name in enumerate(names)
    }


def short(name: str) -> str:
    """A name that fits beside a point: its start and its end.

    >>> short("a" * 20 + "/" + "b" * 20)
    'aaaaaaaaaaaaaaaa…bbbbbbbbb'
    """
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[:16]}…{name[-9:]}"
