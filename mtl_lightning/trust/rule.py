"""What may stand where an argument is annotated: a class of that kind, or a function that says that it returns one."""

import inspect
from collections.abc import Callable
from functools import partial
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints


def is_callable_hint(hint: Any) -> bool:
    """Whether an annotation is ``Callable``, with or without what is taken and returned, or a protocol of a call."""
    return (get_origin(hint) or hint) is Callable or (_is_protocol(hint) and "__call__" in vars(hint))


def refusal_of(found: Any, hint: Any, arguments: bool, strictly: bool) -> str | None:
    """Why an object that a configuration names may not stand at an argument; null: it may.

    A class must be a subclass of what the argument, or the ``Callable`` there, is annotated to be or to return; an
    object must be of that class. What is called by the configuration itself, as a function with ``init_args``, must be
    annotated to return it, and what is handed over and called later must be annotated to return what the ``Callable``
    does.

    Args:
        found: The object.
        hint: Annotation of the argument: a class, or a ``Callable``.
        arguments: Whether it stands there as a class does, with a ``class_path``, so that it would be called at once.
        strictly: Whether only classes may stand there, of a known kind.
    """
    wanted = _returned(hint) if is_callable_hint(hint) else hint
    kinds = _classes(wanted)
    kind = found if inspect.isclass(found) else type(found)
    if _is_one_of(kind, kinds) and (inspect.isclass(found) or not is_callable_hint(hint)):
        return None
    built = [kind for kind in kinds if kind.__module__ != "builtins"]
    what = f"it is no {_said(built)}" if built else "no class is known that belongs there"
    if strictly:
        return what
    if not is_callable_hint(hint):
        made = not inspect.isclass(found) and callable(found)
        return None if made and _gives(_returned(found), wanted) else what + _hint(found, built)
    given = _result_of_call(found) if arguments else found
    if given is not None and _gives(_returned(given), wanted):
        return None
    return what + _hint(found, built) if built else f"it is not annotated to return {_name(wanted)}"


def _result_of_call(found: Any) -> Any:
    """What calling an object makes, as far as its annotations say, to be called later: an instance, a ``Callable``."""
    if inspect.isclass(found):
        return inspect.getattr_static(found, "__call__", None)
    made = _returned(found)
    return made if is_callable_hint(made) else None


def _returned(found: Any) -> Any:
    """What a function, a partial, an instance or an annotation of them returns when it is called; null: unknown."""
    if isinstance(found, partial):
        return found.func if inspect.isclass(found.func) else _returned(found.func)
    if (get_origin(found) or found) is Callable:
        return (get_args(found) or (None,))[-1]
    owner = found if inspect.isclass(found) else type(found)  # a class here is a protocol
    call = found if inspect.isroutine(found) else inspect.getattr_static(owner, "__call__", None)
    try:
        return get_type_hints(call).get("return") if call is not None else None
    except Exception:  # an annotation that cannot be resolved: anything may be raised
        return None


def _gives(returned: Any, wanted: Any) -> bool:
    """Whether an annotation promises what is wanted."""
    if returned in (None, Any, object) or isinstance(returned, TypeVar):
        return False
    if wanted in (None, Any, object):
        return True
    kinds, wanted_kinds = _classes(returned), _classes(wanted)
    return returned == wanted or (bool(kinds) and all(_is_one_of(kind, wanted_kinds) for kind in kinds))


def _classes(hint: Any) -> list[type]:
    """The classes that an annotation names, of which one has to be there."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for part in get_args(hint) for kind in _classes(part)]
    kind = get_origin(hint) or hint
    return [kind] if inspect.isclass(kind) and kind not in (object, NoneType) else []


def _is_one_of(kind: type, wanted: list[type]) -> bool:
    for base in wanted:
        try:
            if issubclass(kind, base) or (kind is int and base is float):
                return True
        except TypeError:  # a protocol with attributes
            if _is_protocol(base) and all(hasattr(kind, name) for name in vars(base) if not name.startswith("_")):
                return True
    return False


def _is_protocol(hint: Any) -> bool:
    return inspect.isclass(hint) and bool(getattr(hint, "_is_protocol", False))


def _hint(found: Any, kinds: list[type]) -> str:
    if not kinds or not inspect.isroutine(found):
        return ""
    return f", nor a function that is annotated to return one (`-> {kinds[0].__name__}`)"


def _said(kinds: list[type]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)


def _name(wanted: Any) -> str:
    if wanted in (None, Any):
        return "anything (`-> None`, say)"
    name = getattr(wanted, "__name__", str(wanted))
    return f"{name} (`-> {name}`)"
