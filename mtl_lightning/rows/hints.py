"""What to say of a column that is not there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import did_you_mean

_DELIMITERS = ";\t|,"
_MARKS = {"\t": "tab"}


def hint_of_column(column: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The hint that follows the name of a column that the data has not.

    Args:
        column: What was looked for.
        rows: Some rows of the data, by column.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) == 1 and (hint := hint_of_delimiter(names[0])):
        return hint
    inside = list(dict.fromkeys(name for row in rows for name in leaves(dict(row))))
    for name in inside:
        root = name.removesuffix(f".{column}")
        if root != name:
            if len(rows) == 1 and isinstance(_at(rows[0], root), list):
                return f"the records seem to stand under '{root}': set `field: {root}`"
            return f"did you mean '{name}'?"
    return did_you_mean(column, inside if "." in column else names)


def hint_of_delimiter(name: str) -> str | None:
    """What to say where the header row is a single name that looks like several; None: it does not."""
    for delimiter in _DELIMITERS:
        parts = name.split(delimiter)
        if len(parts) > 1 and all(re.search(r"\w", part) for part in parts):
            return (
                f"the header row is one name, {name[:60]!r}: set `delimiter: {_MARKS.get(delimiter, repr(delimiter))}`"
            )
    return None


def _at(value: Any, name: str) -> Any:
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def leaves(value: Any, prefix: str = "", depth: int = 4) -> Iterator[str]:
    """The dotted names inside a value, objects in lists among them."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            yield name
            yield from leaves(inner, name, depth - 1)
