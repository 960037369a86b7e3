"""Rows of texts in portions, so that a tokenizer reads some of them at once."""

from collections.abc import Iterator, Sequence
from typing import Any

_PORTION = 1_000_000  # characters that are tokenised at once, which takes some 400 MB


def size(texts: Sequence[str]) -> int:
    """Number of characters."""
    return sum(map(len, texts))


def columns_of(rows: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The columns of a table."""
    return (list(column) for column in zip(*rows, strict=True))


def portions(rows: Sequence[Sequence[str]]) -> Iterator[slice]:
    """Stretches of rows that are tokenised at once: all but the first one of each within the number of characters."""
    start, length = 0, 0
    for i, texts in enumerate(rows):
        length += size(texts)
        if length > _PORTION and i > start:
            yield slice(start, i)
            start, length = i, size(texts)
    if start < len(rows):
        yield slice(start, len(rows))


def joined(portions: Iterator[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """What portions were made into, one after the other."""
    found: dict[str, list[Any]] = {}
    for portion in portions:
        for name, values in portion.items():
            found.setdefault(name, []).extend(values)
    return found
