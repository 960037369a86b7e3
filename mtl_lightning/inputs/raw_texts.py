"""Texts as they stand in a data set, before they are tokens."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError, shown

SEVERAL = frozenset({"choices", "texts"})
"""The inputs that are several texts an example."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def sides_of(columns: Mapping[str, Sequence[Any]]) -> tuple[list[list[str]], list[int] | None]:
    """The texts of sequences, of one or two sides, and how many each example has where it may be several.

    Args:
        columns: Raw values: ``text`` with or without ``text_pair``; ``choices`` with or without ``text``; or ``texts``.

    Returns:
        Sides, each with the texts of all R sequences; and how many sequences each example has, null: one.
    """
    named = list(SEVERAL.intersection(columns))
    if not named:
        return [all_texts(name, columns[name]) for name in ("text", "text_pair") if name in columns], None
    (several,) = named
    rows = [_several_texts(several, value) for value in columns[several]]
    counts = [len(row) for row in rows]
    sides = [[text for row in rows for text in row]]
    if "text" in columns:
        first = all_texts("text", columns["text"])
        sides.insert(0, [text for text, count in zip(first, counts, strict=True) for _ in range(count)])
    return sides, counts


def one_text(value: Any) -> str:
    """The value, if it is a text that says something; several texts are joined, without those that are empty."""
    if isinstance(value, tuple):
        for part, text in enumerate(value):
            if text is not None and not isinstance(text, str):
                raise UserError(f"expected a text, found {shown(text)}", part=part)
        value = " ".join(text for text in value if text and not text.isspace())
    if not isinstance(value, str):
        raise UserError(f"expected a text, found {shown(value)}")
    if not value or value.isspace():
        raise UserError(f"the text is empty: {value!r}")
    if not value.isascii() and _SURROGATE.search(value):
        raise UserError(f"half of a surrogate pair is no character: {shown(value)}")
    return value


def one_word(position: int, value: Any) -> str:
    """A word of a list; a mistake is at its position."""
    try:
        return one_text(value)
    except UserError as error:
        raise UserError(f"word {position + 1}: {error}", position) from error


def all_texts(name: str, values: Sequence[Any]) -> list[str]:
    """The values of an input, each as :func:`one_text` reads it.

    Raises:
        UserError: If one is none; it names the input.
    """
    try:
        return [one_text(value) for value in values]
    except UserError as error:
        raise UserError(f"input '{name}': {error}", part=error.part) from error


def _several_texts(name: str, value: Any) -> list[str]:
    """The texts of one example, at least one: those of a list, or of columns; the last ``choices`` may be empty.

    Args:
        name: Of the input, for messages.
        value: Raw.

    Raises:
        UserError: If it is no list of texts, or one of them is empty.
    """
    if not isinstance(value, list | tuple):
        columns = f"or name the column of each in the data set's `inputs`, `{name}: [first, second]`"
        raise UserError(f"input '{name}': expected a list of texts, found {shown(value)}; give one, {columns}")
    texts = filled(value) if name == "choices" else list(value)
    if not texts:
        raise UserError(f"input '{name}': expected at least one text, found {shown(value)}")
    for position, text in enumerate(texts):
        try:
            one_text(list(text) if isinstance(text, tuple) else text)  # a tuple would be columns of one text
        except UserError as error:
            part = position if isinstance(value, tuple) else None
            raise UserError(f"input '{name}', text {position + 1}: {error}", part=part) from error
    return texts


def filled(values: Iterable[Any]) -> list[Any]:
    """The values of a list; those of several columns, a tuple, without the empty ones at their end."""
    found = list(values)
    while isinstance(values, tuple) and found and _is_blank(found[-1]):
        found.pop()
    return found


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
