"""Spans of words as data sets write them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from zlib import crc32

from mtl_lightning.errors import UserError, shown

Ends = Literal["exclusive", "inclusive"]
"""Whether ``end`` is the position behind a span's last word, or that of its last word."""

_MOST = 1_000_000
"""More words than an example has; what is beyond is some other number, and a list of as many tags takes all memory."""

KEYS = "`start`, `end` and `label` (or `type`)"


class Span(NamedTuple):
    """A span of words.

    Attributes:
        start: Position of its first word.
        end: The position behind its last one.
        label: Its type as it stands in the data; null: the data does not say.
    """

    start: int
    end: int
    label: Any = None

    @property
    def place(self) -> str:
        """Its words as messages call them, counted from 1."""
        return f"word {self.end}" if self.end == self.start + 1 else f"words {self.start + 1} to {self.end}"

    def __str__(self) -> str:
        return f"{shown(self.label, 40)} ({self.place})"


def span_of(item: Any, ends: Ends) -> Span:
    """A span that is an object ``{start, end, label}``, or a list ``[start, end]`` or ``[start, end, label]``.

    Args:
        item: As it stands in the data; words count from 0.
        ends: What ``end`` means.

    Raises:
        UserError: If it is no span.

    >>> span_of({"start": 2, "end": 3, "type": "person"}, "inclusive")
    Span(start=2, end=4, label='person')
    """
    given = item
    if isinstance(item, Mapping):
        label = item.get("label") if item.get("label") is not None else item.get("type")
        item = (item.get("start"), item.get("end"), label)
    if not isinstance(item, list | tuple) or len(item) not in (2, 3):
        raise UserError(f"expected {KEYS}, found {shown(given)}")
    start, end = _position("start", item[0]), _position("end", item[1])
    end += ends == "inclusive"
    if start >= end:
        hint = "; if `end` is its last word, set `spans: inclusive`" if start == end and ends == "exclusive" else ""
        raise UserError(f"it starts at {item[0]} and ends at {item[1]}, so it has no words{hint}")
    return Span(start, end, item[2] if len(item) == 3 else None)


def _position(key: str, value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise UserError(f"expected the position of a word as `{key}`, found {shown(value)}")
    if value < 0:
        raise UserError(f"`{key}` must be at least 0, found {value}")
    if value > _MOST:
        raise UserError(f"`{key}` must be the position of a word, found {shown(value)}")
    return int(value)


def placed(spans: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Spans that a task has predicted, as the input ``spans`` is encoded: start, end and number of the label [S, 3]."""
    return [[span["start_word"], span["end_word"], kind_of(span["label"])] for span in spans]


KINDS = 4096
"""How many kinds of spans models tell apart."""


def kind_of(label: Any) -> int:
    """A number for a span's label, the same everywhere, from 1 to ``KINDS - 1``; 0: it has none.

    Labels are told apart by a hash (the hashing trick, Weinberger et al., 2009), so that inputs need no list of them.
    Among 20 labels, two share a number in 5 % of all cases.
    """
    return 0 if label is None else crc32(str(label).encode()) % (KINDS - 1) + 1
