"""Spans of words as a data set gives them, and the BIO tags that they are."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from mtl_lightning.decoding.spans import OUTSIDE
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels.spans import KEYS, Ends, Span, span_of
from mtl_lightning.tasks.lists import items_of

T = TypeVar("T")


class FromSpans(list[T]):
    """Tags, by name or encoded, that were made of spans: as far as the last span; of no spans a single ``O``."""


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
    value = items_of(value)
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
    return [_span(number, item, ends) for number, item in enumerate(items_of(value), 1)]


def _span(number: int, item: Any, ends: Ends) -> Span:
    try:
        if isinstance(item, list | tuple) and len(item) != 3:
            raise UserError(f"expected {KEYS}, found {shown(item)}")
        return span_of(item, ends)
    except UserError as error:
        raise UserError(f"span {number}: {error}") from error
