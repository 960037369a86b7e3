"""Values inside objects, by dotted names: ``ann.label``, ``answers.0.text``, ``tokens.form`` of each of a list."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError, shown

_ABSENT: Any = object()


def add_nested(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row with the values that dotted names mean; a name that no value has stays out.

    A key of the row itself comes first. Of a list, a number takes one item, and a key that of each item.

    Args:
        values: The row's, by column.
        names: Dotted names.

    Raises:
        UserError: If something stands where an object is expected.

    >>> add_nested({"words": [{"form": "a"}, {"form": "b"}]}, ["words.form", "words.1.form"])["words.form"]
    ['a', 'b']
    """
    found = dict(values)
    for name in names:
        root, *path = name.split(".")
        if name in values or root not in values:
            continue
        try:
            value = _pick(values[root], path)
        except UserError as error:
            raise UserError(f"column '{name}': {error}") from error
        if value is not _ABSENT:
            found[name] = value
    return found


def _pick(value: Any, path: Sequence[str]) -> Any:
    for position, part in enumerate(path):
        if value is None or value is _ABSENT:
            return _ABSENT
        if isinstance(value, dict):
            value = value.get(part, _ABSENT)
        elif not isinstance(value, list):
            raise UserError(f"expected an object with '{part}', found {shown(value)}")
        elif part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            items = [_pick(item, path[position:]) for item in value]
            absent = items and all(item is _ABSENT for item in items)
            return _ABSENT if absent else [None if item is _ABSENT else item for item in items]
    return value
