"""The rows that are measured on a GPU."""

from collections.abc import Sequence
from itertools import groupby
from typing import TypedDict

from rich.console import Console
from rich.table import Table


class Found(TypedDict):
    """A step of one contestant.

    Attributes:
        part: What is trained, and in which precision.
        contestant: Who trains it. Ratios are to the first one of a part.
        time: Ratio.
        at_most: What that may be, as on the CPU; null: no goal.
        milliseconds: A step takes.
        memory: Ratio of the growth of the peak, with model and optimizer.
        waits: How often a step makes the host wait for the device.
        items: How often it reads a number from a tensor, of which those on the host, such as the optimizer's count of
            steps, are no waits; or how often it does what the contestant's name says.
    """

    part: str
    contestant: str
    time: float | None
    at_most: float | None
    milliseconds: float | None
    memory: float | None
    waits: float | None
    items: float | None


def found(
    part: str,
    contestant: str,
    time: float | None = None,
    at_most: float | None = None,
    milliseconds: float | None = None,
    memory: float | None = None,
    waits: float | None = None,
    items: float | None = None,
) -> Found:
    """A row, rounded."""
    return Found(
        part=part,
        contestant=contestant,
        time=_rounded(time),
        at_most=at_most,
        milliseconds=_rounded(milliseconds),
        memory=_rounded(memory),
        waits=_rounded(waits),
        items=_rounded(items),
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def print_found(rows: Sequence[Found]) -> None:
    """Prints a table for each part."""
    console = Console()
    for part, group in groupby(rows, lambda row: row["part"]):
        table = Table(title=part, title_justify="left")
        table.add_column("a step")
        for column in ("time", "at most", "ms", "memory", "waits", "items"):
            table.add_column(column, justify="right")
        for one in group:
            numbers = [one["time"], one["at_most"], one["milliseconds"], one["memory"], one["waits"], one["items"]]
            table.add_row(one["contestant"], *("" if number is None else f"{number:.4g}" for number in numbers))
        console.print(table)
