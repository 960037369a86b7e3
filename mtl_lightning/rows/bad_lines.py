"""Lines of files that are no examples."""

from typing import NamedTuple

LINE = "__line__"
"""Column with the number of the line, or row, of its file at which an example begins."""

BAD = "__bad_row__"
"""Column of a table that is read with ``on_bad_row: skip``: null, or a :class:`BadLine` as JSON."""

BLANK = "the line is empty"
"""Why an empty line is no example, where it is not passed over."""


class BadLine(NamedTuple):
    """A line of a file that is no example.

    Attributes:
        line: Its number.
        reason: What is wrong with it.
        text: What stands there.
    """

    line: int
    reason: str
    text: str
