"""Refuses ``null`` where a parameter takes none: the parser takes it everywhere."""

import inspect
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

from jsonargparse import Namespace

from mtl_lightning.cli.config_errors.types import names_of
from mtl_lightning.errors import UserError
from mtl_lightning.trust.imports import loaded


def refuse_null(cls: Callable[..., Any], arguments: Namespace | Mapping[str, Any], key: str) -> None:
    """Makes sure that no argument of a class, nor of the classes that it is given, is null and must not be.

    Args:
        cls: The class.
        arguments: What it is given, by name.
        key: Of the class.

    Raises:
        UserError: If one is.
    """
    try:
        types = get_type_hints(cls.__init__ if inspect.isclass(cls) else cls)
    except Exception:  # a forward reference that cannot be resolved: anything may be raised
        types = {}
    defaults = {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}
    for name, value in vars(arguments).items() if isinstance(arguments, Namespace) else arguments.items():
        if value is None and name in types and defaults.get(name) is not None and not _takes_null(types[name]):
            raise UserError(f"{key}.{name}: expected {names_of(types[name])}, found null; leave it out for its default")
        _below(value, f"{key}.{name}")


def _below(value: Any, key: str) -> None:
    if isinstance(value, list):
        for item in value:
            _below(item, key)
    elif isinstance(value, Namespace | dict):
        content = vars(value) if isinstance(value, Namespace) else value
        found = loaded(content["class_path"]) if isinstance(content.get("class_path"), str) else None
        if callable(found):
            refuse_null(found, content.get("init_args") or {}, key)
        else:
            for name, item in content.items():
                _below(item, f"{key}.{name}")


def _takes_null(kind: Any) -> bool:
    return kind in (Any, None, NoneType, object) or any(map(_takes_null, get_args(kind)))
