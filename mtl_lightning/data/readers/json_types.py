"""Finds for each column the Arrow type that holds all its values as they are."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from datasets import Features, Json, List, Value

Kind = Literal["null", "string", "bool", "int64", "float64", "json"] | tuple["Kind"]
"""Of values: one of Arrow's types, a list of a kind (as a tuple of one), or anything else that JSON can say."""

_KINDS: dict[type, Kind] = {str: "string", bool: "bool", int: "int64", float: "float64", type(None): "null"}


def kind_of(value: Any) -> Kind:
    """The kind of a value; objects are ``json``.

    >>> kind_of([1, None])
    ('int64',)
    """
    if type(value) is not list:
        return _KINDS.get(type(value), "json")
    inner = join(map(kind_of, value))
    return "json" if inner == "json" else (inner,)


def join(kinds: Iterable[Kind]) -> Kind:
    """The kind that holds values of all these; numbers with and without a fraction are not mixed.

    >>> join(["int64", "null"]), join(["int64", "float64"]), join([("null",), ("string",)])
    ('int64', 'json', ('string',))
    """
    joined: Kind = "null"
    for kind in set(kinds):
        if kind == joined or kind == "null":
            continue
        if joined == "null":
            joined = kind
        elif isinstance(kind, tuple) and isinstance(joined, tuple):
            inner = join([kind[0], joined[0]])
            joined = "json" if inner == "json" else (inner,)
        else:
            return "json"
    return joined


def features_of(kinds: Mapping[str, Kind]) -> Features:
    """The columns' types for ``datasets``; a column without any value is taken for texts."""
    return Features({name: _feature(kind) for name, kind in kinds.items()})


def _feature(kind: Kind) -> Any:
    if isinstance(kind, tuple):
        return List(_feature(kind[0]))
    return Json() if kind == "json" else Value("string" if kind == "null" else kind)
