"""Spans of words as a data set gives them, and the BIO tags that they are."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

from mtl_lightning.errors import UserError, shown
from mtl_lightning.tasks.bio import OUTSIDE
from mtl_lightning.tasks.lists import listed

T = TypeVar("T")

Ends = Literal["exclusive", "inclusive"]
"""Whether ``end`` is the position behind a span's last word, or that of its last word."""

_KEYS = "`start`, `end` and `label` (or `type`)"


class FromSpans(list[T]):
    """Tags, by name or encoded, that were made of spans: as far as the last span; of no spans a single ``O``."""


class Span(NamedTuple):
    """A span of words.

    Attributes:
        start: Position of its first word.
        end: The position behind its last one.
        label: Its type as it stands in the data.
    """

    start: int
    end: int
    label: Any

    def __str__(self) -> str:
        words = f"word {self.end}" if self.end == self.start + 1 else f"words {self.start + 1} to {self.end}"
        return f"{shown(self.label, 40)} ({words})"


def tags_of(value: Any, ends: Ends, name: Callable[[Any], str | None]) -> FromSpans[str | None]:
    """The tags of a raw label that lists spans.

    Args:
        value: A list that :func:`holds_spans`, in any order, each an object ``{start, end, label}`` or a list
            ``[start, end, label]``; or the text that CSV makes of such a list.
        ends: What ``end`` means.
        name: The name of a span's type, null if it is missing: then nothing is known of its words.

    Raises:
        UserError: If one of them is no span, or two overlap.

    >>> tags_of([{"start": 1, "end": 3, "label": "x"}], "exclusive", str)
    ['O', 'B-x', 'I-x']
    """
    spans = sorted(_read(value, ends), key=lambda span: span[:2])
    for one, other in pairwise(spans):
        if other.start < one.end:
            raise UserError(
                f"the spans {one} and {other} overlap, but a word has one tag; keep one of them in the data, or make "
                f"two tasks of them"
            )
    tags: FromSpans[str | None] = FromSpans([OUTSIDE] * max([1, *(span.end for span in spans)]))
    for start, end, label in spans:
        found = name(label)
        inside = [None] * (end - start) if found is None else [f"B-{found}"] + [f"I-{found}"] * (end - start - 1)
        tags[start:end] = inside
    return tags


def holds_spans(value: Any) -> bool:
    """Whether a raw label lists spans, or nothing; not tags, one a word.

    >>> holds_spans([[0, 1, "x"]]), holds_spans([]), holds_spans(["O", None])
    (True, True, False)
    """
    if isinstance(value, str):
        value = listed(value)
    return isinstance(value, list | tuple) and (not value or any(isinstance(each, Mapping | list) for each in value))


def up_to(tags: Sequence[int], number: int, outside: int) -> list[int]:
    """Encoded tags that were made of spans, for all words.

    Args:
        tags: As far as the last span.
        number: Of words.
        outside: The tag of words in no span.

    Raises:
        UserError: If a span ends behind the last word.
    """
    if len(tags) > max(number, 1):
        raise UserError(f"a span ends at word {len(tags)}, but there are {number} words; positions count from 0")
    return [*tags, *[outside] * (number - len(tags))]


def _read(value: Any, ends: Ends) -> list[Span]:
    value = listed(value) if isinstance(value, str) else value
    return [_span(number, item, ends) for number, item in enumerate(value, 1)]


def _span(number: int, item: Any, ends: Ends) -> Span:
    if isinstance(item, Mapping):
        label = item.get("label") if item.get("label") is not None else item.get("type")
        item = (item.get("start"), item.get("end"), label)
    if not isinstance(item, list | tuple) or len(item) != 3:
        raise UserError(f"span {number}: expected {_KEYS}, found {shown(item)}")
    start, end = _position(number, "start", item[0]), _position(number, "end", item[1])
    end += ends == "inclusive"
    if start >= end:
        hint = "; if `end` is its last word, set `spans: inclusive`" if start == end and ends == "exclusive" else ""
        raise UserError(f"span {number}: it starts at {item[0]} and ends at {item[1]}, so it has no words{hint}")
    return Span(start, end, item[2])


def _position(number: int, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise UserError(f"span {number}: expected the position of a word as `{key}`, found {shown(value)}")
    if value < 0:
        raise UserError(f"span {number}: `{key}` must be at least 0, found {value}")
    return int(value)
