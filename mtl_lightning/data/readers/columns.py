"""Which columns of a table become an input or a label."""

from collections.abc import Mapping

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
