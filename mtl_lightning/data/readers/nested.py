"""Values inside objects, by dotted names: ``ann.label``, ``answers.0.text``, ``tokens.form`` of each of a list."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, Features, IterableDataset, LargeList, List

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


def with_nested(table: Any, names: Sequence[str]) -> Any:
    """A table, or a stream, with a column for each dotted name that means something in it."""
    if isinstance(table, IterableDataset):
        return table.map(add_nested, fn_kwargs={"names": tuple(names)}) if names else table
    types: dict[str, Any] = {}
    for name in names:
        root, *path = name.split(".")
        if name not in table.column_names and root in table.column_names:
            kind = _type(table.features[root], path)
            types |= {} if kind is None else {name: kind}
    return _mapped(table, types) if types else table


def _mapped(table: Dataset, types: Mapping[str, Any]) -> Dataset:
    return table.map(
        _columns,
        batched=True,
        input_columns=list(dict.fromkeys(name.split(".")[0] for name in types)),
        fn_kwargs={"names": tuple(types)},
        features=Features({**table.features, **types}),
        desc="take values out of objects",
    )


def _columns(*roots: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    by_root = dict(zip(dict.fromkeys(name.split(".")[0] for name in names), roots, strict=True))
    rows = [dict(zip(by_root, values, strict=True)) for values in zip(*by_root.values(), strict=True)]
    picked = [add_nested(row, names) for row in rows]
    return {name: [row.get(name) for row in picked] for name in names}


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


def _type(feature: Any, path: Sequence[str]) -> Any:
    """The type of what :func:`_pick` finds; None: there is nothing."""
    if not path or feature is None:
        return feature
    if isinstance(feature, dict):
        return _type(feature.get(path[0]), path[1:])
    if not isinstance(feature, List | LargeList):
        return None
    if path[0].isdigit():
        return _type(feature.feature, path[1:])
    inner = _type(feature.feature, path)
    return None if inner is None else List(inner)
