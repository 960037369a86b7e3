"""Puts the rule into jsonargparse, at the one place through which each value and its annotation pass.

jsonargparse takes any importable function as a ``class_path``, whatever can be called as a ``Callable``, and any class
where an argument has no annotation; and it imports what is named before it looks at the kind.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import ModuleType
from typing import Any

from jsonargparse import Namespace, _typehints

from mtl_lightning.trust.imports import Imports, cut, loaded
from mtl_lightning.trust.rule import is_callable_hint, refusal_of

_KEYS = {"class_path", "init_args", "dict_kwargs", "__path__", "__subclasses_disabled__"}
_SAID = re.compile(r"'[^'\n]*' may not (?:stand here|be imported): [^\n]*")

_policy: ContextVar[Imports | None] = ContextVar("_policy", default=None)
"""What may be imported while a configuration is read; null: none is."""


class NotAllowedError(ValueError):
    """What a configuration names and must not."""


@contextmanager
def guarded(imports: Imports) -> Iterator[None]:
    """Holds whatever jsonargparse parses and makes inside to the rule.

    Args:
        imports: What the configuration may import.
    """
    token = _policy.set(imports)
    try:
        yield
    finally:
        _policy.reset(token)


def refused(message: str) -> str | None:
    """What was refused, as a parser's message says it somewhere; null: nothing was."""
    found = _SAID.findall(message)
    return max(found, key=lambda said: "imported" in said, default=None)


def import_configured(path: str) -> Any:
    """An object that a configuration names.

    Raises:
        NotAllowedError: If it must not be imported.
    """
    imports = _policy.get()
    if imports is None:
        return _import_object(path)
    reason = imports.refusal(path)
    found = None if reason else _import_object(path)
    if reason := reason or imports.refusal_of_origin(path, found):
        raise NotAllowedError(f"'{cut(path)}' may not be imported: {reason}")
    return found


@wraps(_typehints.import_object)
def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    if _policy.get() is None or not isinstance(name, str) or "." not in name:
        return _import_object(name, *args, **kwargs)
    return import_configured(name)


@wraps(_typehints.adapt_typehints)
def _adapt(val: Any, typehint: Any, serialize: bool = False, instantiate_classes: bool = False, **more: Any) -> Any:
    if serialize and isinstance(val, str) and is_callable_hint(typehint):
        return val  # a word at `Callable | str`, which jsonargparse would write as that of a function without a name
    if _policy.get() is None or serialize:
        return _adapt_typehints(val, typehint, serialize, instantiate_classes, **more)
    if instantiate_classes and isinstance(val, str) and _takes_anything(typehint):
        return val  # jsonargparse would read it a second time
    _check(val, typehint)
    found = _adapt_typehints(val, typehint, serialize, instantiate_classes, **more)
    if not instantiate_classes:  # what is made is no name any more
        _check(found, typehint)
    return found


def _check(value: Any, hint: Any) -> None:
    """Refuses a value that names something which must not stand at an argument with this annotation."""
    if _takes_anything(hint):
        for inside in _specs_in(value):
            why = "the argument is not annotated with the class that it takes"
            raise NotAllowedError(f"'{inside}' may not stand here: {why}")
        return
    path, of_callable = _spec(value), is_callable_hint(hint)
    if hint is ModuleType and isinstance(value, str):
        _check_module(value)
    if hint is type and isinstance(value, str):
        raise NotAllowedError(f"'{value}' may not stand here: the argument is not annotated with a kind of classes")
    if isinstance(value, str) and (of_callable or _takes_words(hint)):
        _check_name(value, None, hint, False)
    elif path is not None and (of_callable or _is_class(hint)):
        _check_name(path, None, hint, True)
    elif path is None and of_callable and callable(value):
        _check_name(getattr(value, "__qualname__", repr(value)), value, hint, False)


def _check_name(name: str, found: Any, hint: Any, arguments: bool) -> None:
    policy, denied = _policy.get(), None
    assert policy is not None
    if found is None:
        try:
            found = _found(name)
        except NotAllowedError as error:
            found, denied = loaded(name), error  # if it is of the wrong kind, that says more
    made_here = arguments or inspect.isclass(found) or not is_callable_hint(hint)
    if found is not None and (reason := refusal_of(found, hint, made_here, policy.is_strict(name))):
        raise NotAllowedError(f"'{cut(name)}' may not stand here: {reason}")
    if denied is not None:
        raise denied


def _check_module(name: str) -> None:
    policy = _policy.get()
    assert policy is not None
    if reason := policy.refusal(name):
        raise NotAllowedError(f"'{cut(name)}' may not be imported: {reason}")


def _spec(value: Any) -> str | None:
    """The path in a value that stands for an object which jsonargparse is to make, with its arguments or without."""
    keys = vars(value) if isinstance(value, Namespace) else value
    if isinstance(keys, dict) and isinstance(keys.get("class_path"), str) and set(keys) <= _KEYS:
        return str(keys["class_path"])
    return None


def _specs_in(value: Any) -> Iterator[str]:
    """The paths of all that a value, or what is in it, would have made."""
    content = vars(value) if isinstance(value, Namespace) else value
    if (path := _spec(value)) is not None:
        yield path
    for item in content.values() if isinstance(content, dict) else value if isinstance(value, list | tuple) else ():
        yield from _specs_in(item)


def _takes_anything(hint: Any) -> bool:
    """Whether nothing is known of an argument: it has no annotation, or one that cannot be understood."""
    return hint in (Any, object) or isinstance(hint, getattr(_typehints, "UnvalidatedType", ()))


def _is_class(hint: Any) -> bool:
    kind = getattr(hint, "__origin__", hint)
    return inspect.isclass(kind) and kind.__module__ not in ("builtins", "collections", "collections.abc")


def _takes_words(hint: Any) -> bool:
    """Whether jsonargparse imports what a word at this annotation names."""
    return _is_class(hint) and bool(_typehints.ActionTypeHint.is_subclass_typehint(hint))


def _found(path: str) -> Any:
    """An object by its path; null where there is none, which jsonargparse says better."""
    if "." not in path or not all(part.isidentifier() for part in path.split(".")):
        return None
    try:
        return import_configured(path)
    except NotAllowedError:
        raise
    except Exception:  # whatever a module of the user's raises
        return None


_import_object, _adapt_typehints = _typehints.import_object, _typehints.adapt_typehints
_typehints.import_object, _typehints.adapt_typehints = _import, _adapt
