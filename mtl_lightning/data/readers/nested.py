"""Tables and streams with columns for values inside objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, Features, IterableDataset, LargeList, List

from mtl_lightning.rows.nested import add_nested


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


def _type(feature: Any, path: Sequence[str]) -> Any:
    """The type of what :func:`.add_nested` finds; None: there is nothing."""
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
