"""Which columns of a table become an input or a label."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError

Inputs = Mapping[str, str | list[str]]
"""Column, or columns, of each input."""

Labels = Mapping[str, str | list[str]]
"""Column, or columns, of each task's label."""


def pairs_of(mapping: Inputs) -> list[tuple[str, str]]:
    """Each name with each of its columns.

    >>> pairs_of({"features": ["age", "height"], "text": "title"})
    [('features', 'age'), ('features', 'height'), ('text', 'title')]
    """
    listed = {name: columns if isinstance(columns, list) else [columns] for name, columns in mapping.items()}
    return [(name, column) for name, columns in listed.items() for column in columns]


def called(columns: str | list[str]) -> str:
    """A column, or several, as messages call them.

    >>> called(["head", "relation"])
    "columns 'head', 'relation'"
    """
    names = [columns] if isinstance(columns, str) else columns
    return f"{'column' if len(names) == 1 else 'columns'} {', '.join(map(repr, names))}"


def raw_values(columns: Mapping[str, Sequence[Any]], names: str | list[str]) -> Sequence[Any]:
    """The raw values of an input or a label [N]: those of its column, or tuples of those of its columns."""
    return columns[names] if isinstance(names, str) else list(zip(*(columns[name] for name in names), strict=True))


def at_fault(mapping: Inputs, error: UserError) -> str:
    """The columns in which a mistake in some inputs may be, as messages call them."""
    if error.of is not None and error.of in mapping:
        mapping = {error.of: mapping[error.of]}
    several = [of for of in mapping.values() if isinstance(of, list)]
    if error.part is not None and len(several) == 1:
        return called(several[0][error.part : error.part + 1])
    return called(list(dict.fromkeys(column for _, column in pairs_of(mapping))))
