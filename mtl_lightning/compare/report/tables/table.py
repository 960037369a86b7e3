"""A table of text that knows how its cells sort and what its columns mean."""

from dataclasses import dataclass
from math import isnan

Key = float | str | None


@dataclass(frozen=True)
class Cell:
    """What stands in one place.

    Attributes:
        text: As shown.
        key: What it is sorted by; ``None`` or not a number comes last, whichever the direction.
        tip: What explains the figure further.
        tone: ``better``, ``worse`` or nothing.
        heat: From -1 (bad) to 1 (good): shade of the ground; ``None`` for none.
    """

    text: str
    key: Key = None
    tip: str = ""
    tone: str = ""
    heat: float | None = None

    @property
    def long(self) -> bool:
        """Whether the text may need more than one line."""
        return len(self.text) > 40

    @property
    def sort_key(self) -> str:
        """The key as an attribute of the page; empty where there is none."""
        missing = self.key is None or (isinstance(self.key, float) and isnan(self.key))
        return "" if missing else f"{self.key:.12g}" if isinstance(self.key, float) else str(self.key)


@dataclass(frozen=True)
class Column:
    """What a column is.

    Attributes:
        title: Above it.
        definition: What its figures mean, in a sentence.
        numeric: Whether it is sorted by number and set flush right.
        high_first: Whether the first click sorts from high to low.
    """

    title: str
    definition: str
    numeric: bool = True
    high_first: bool = False


@dataclass
class Table:
    """Rows of cells under columns; the first cell of a row names it.

    Attributes:
        name: For links and files.
        title: Its heading.
        columns: Of all rows.
        rows: As many cells each as there are columns.
        note: What must be known to read it.
        sorted_by: Position of the column that the rows are already sorted by.
        folded: Whether it is so long that the page shows it only when asked.
    """

    name: str
    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    note: str = ""
    sorted_by: int | None = None
    folded: bool = False
