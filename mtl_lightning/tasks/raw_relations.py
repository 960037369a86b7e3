"""Relations between spans of words as a data set gives them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels.spans import Ends, Span, span_of

_KEYS = "`head`, `tail` and `label` (or `type`)"


class Relation(NamedTuple):
    """A relation from one span of words to another.

    Attributes:
        head: Where it starts: a span, or its position among the spans of the input.
        tail: Where it leads to; the same.
        label: Its name as it stands in the data.
    """

    head: Span | int
    tail: Span | int
    label: Any


def relations_of(value: Any, ends: Ends) -> list[Relation]:
    """The relations of an example.

    Args:
        value: A list of objects ``{head, tail, label}``, or of lists ``[head, tail, label]``; head and tail are spans,
            see :func:`.raw_labels.spans.span_of`, or positions in the list of spans, from 0.
        ends: What the ends of spans mean.

    Raises:
        UserError: If it is no such list.

    >>> relations_of([{"head": [0, 2], "tail": [4, 5], "type": "won"}], "exclusive")[0].tail
    Span(start=4, end=5, label=None)
    """
    if not isinstance(value, list | tuple):
        raise UserError(f"expected a list of relations with {_KEYS}, found {shown(value)}")
    return [_relation(number, item, ends) for number, item in enumerate(value, 1)]


def _relation(number: int, item: Any, ends: Ends) -> Relation:
    given = item
    if isinstance(item, Mapping):
        label = item.get("label") if item.get("label") is not None else item.get("type")
        item = (item.get("head"), item.get("tail"), label)
    if not isinstance(item, list | tuple) or len(item) != 3 or item[2] is None:
        raise UserError(f"relation {number}: expected {_KEYS}, found {shown(given)}")
    try:
        head, tail = (_end(name, end, ends) for name, end in zip(("head", "tail"), item[:2], strict=True))
    except UserError as error:
        raise UserError(f"relation {number}: {error}") from error
    return Relation(head, tail, item[2])


def _end(name: str, value: Any, ends: Ends) -> Span | int:
    if type(value) is int:
        return value
    try:
        return span_of(value, ends)
    except UserError as error:
        raise UserError(f"`{name}`: {error}") from error


def place_of(end: Span | int, spans: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Where an end of a relation is: start and end of a span; -1 where the encoder cut it off.

    Args:
        end: Of the relation.
        spans: Those of the input [S, 3]; start and end are -1 where they were cut off.

    Raises:
        UserError: If it is none of them.
    """
    if isinstance(end, int):
        if not 0 <= end < len(spans):
            raise UserError(f"names span {end}, but there are {len(spans)}, counted from 0")
        return (int(spans[end][0]), int(spans[end][1]))
    places = [(int(start), int(stop)) for start, stop, _ in spans]
    if (end.start, end.end) in places:
        return (end.start, end.end)
    if (-1, -1) in places:
        return (-1, -1)
    raise UserError(f"names {end.place} (counted from 1), which is no span of the input")
