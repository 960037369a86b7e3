"""Examples that lack a kind of input that others of their data set have: which do, and what stands in its place."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.samples import made_up

ABSENT = "absent"
"""Encoded: by stem, 1 where an example lacks what its data set gives the stem; collated, a truth value [B, stems]."""

_ABOUT = {"lost": 0, "note": ""}
"""What is said for a person of an example that lacks the input."""


class Reader(Protocol):
    """What reads some inputs: :class:`Inputs`, or :class:`.InputProcessor`."""

    inputs: tuple[str, ...]
    placed_in: tuple[str, ...]
    files: frozenset[str]
    optional: frozenset[str]
    reads_missing: bool

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]: ...


def lacking(part: Reader, columns: Mapping[str, Sequence[Any]]) -> list[bool]:
    """Of each example, whether it has nothing that a part could read.

    Args:
        part: What reads the inputs.
        columns: Raw values of all its inputs, by name, each [N].
    """
    needed = [[_is_missing(v, name in part.files) for v in columns[name]] for name in columns.keys() - part.optional]
    number = len(next(iter(columns.values())))
    return [False] * number if part.reads_missing or not needed else [all(row) for row in zip(*needed, strict=True)]


def encoded_beside(part: Reader, columns: Mapping[str, Sequence[Any]], lacks: Sequence[bool]) -> dict[str, list[Any]]:
    """Encodes examples, of which some lack their input: they get what others have, so that columns have one type.

    Args:
        part: What reads the inputs.
        columns: Raw values by name, each [N].
        lacks: Which examples lack them [N].

    Raises:
        UserError: As ``part.encode``.
    """
    if not any(lacks):
        return part.encode(columns)
    has = [i for i, lack in enumerate(lacks) if not lack]
    found = part.encode(
        {name: [values[i] for i in has] for name, values in columns.items()} if has else _any(part, columns)
    )
    places, rows = {i: place for place, i in enumerate(has)}, range(len(lacks))
    return {
        name: [values[places[i]] if i in places else _ABOUT.get(name, values[0]) for i in rows]
        for name, values in found.items()
    }


def stand_ins(lacks: np.ndarray) -> list[int]:
    """The number of the example [B] whose input each one of a batch is given; that of another where it has none.

    Args:
        lacks: Which examples lack the input [B].

    >>> stand_ins(np.array([True, False, True, False]))
    [1, 1, 1, 3]
    """
    found: list[int] = np.where(lacks, np.argmin(lacks), np.arange(len(lacks))).tolist()
    return found


def _any(part: Reader, columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
    """Some raw inputs, where no example has any; the missing ones, where none can be made up."""
    plain = part if isinstance(part, Inputs) else getattr(part, "plain", None)
    needed = [name for name in columns if name not in part.optional]
    made = None if plain is None else made_up(plain, needed, [1])
    return columns if made is None else made


def _is_missing(value: Any, is_file: bool) -> bool:
    if isinstance(value, tuple):
        return all(_is_missing(each, is_file) for each in value)
    if isinstance(value, dict) and is_file:
        return bool(value) and all(each is None for each in value.values())
    return value is None or (is_file and isinstance(value, str) and not value.strip())
