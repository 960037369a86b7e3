"""What a later file or flag makes of the value before, by the rules of jsonargparse, as far as no class is known."""

from typing import Any

_OF_CLASSES = {("model", "tasks"), ("data", "datasets")}
"""Mappings of names to classes: a later one replaces the names, and each class goes on from that of its name."""

_COMMON: dict[tuple[str, ...], tuple[str, ...]] = {("model", "optimizer"): ("lr", "weight_decay")}
"""Arguments that stay when the class changes, as all classes have them; ``fit`` keeps all that the new class has."""


def class_path(value: Any) -> str | None:
    """The class that a value of a config names."""
    name = value.get("class_path") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def combined(old: Any, new: Any, path: tuple[str, ...]) -> Any:
    """A value and a later one.

    Args:
        old: The value before; None where there is none.
        new: The later one.
        path: Key of both, without ``init_args``.
    """
    if isinstance(new, dict) and path in _OF_CLASSES:
        before = old if isinstance(old, dict) else {}
        return {name: combined(before.get(name), item, (*path, name)) for name, item in new.items()}
    if isinstance(new, dict) and isinstance(old, dict) and len(path) == 1:
        return _updated(old, new, path)
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [combined(before, after, (*path, "0")) for before, after in zip(old, new, strict=True)]
    if isinstance(new, str | dict) and _is_class(old):
        return _class(old, new, path)
    return new


def _updated(old: dict[str, Any], new: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    updated = dict(old)
    for key, value in new.items():
        if isinstance(key, str) and key.endswith("+"):
            before, more = updated.get(key[:-1]) or [], value if isinstance(value, list) else [value]
            updated[key[:-1]] = [*before, *more]
        else:
            updated[key] = combined(old.get(key), value, (*path, key))
    return updated


def _class(old: str | dict[str, Any], new: str | dict[str, Any], path: tuple[str, ...]) -> Any:
    """A class and its arguments after another."""
    given: dict[str, Any] = {"class_path": new} if isinstance(new, str) else new
    if not {"class_path", "init_args"} & set(given):
        given = {"init_args": given}
    spec = {"class_path": class_path(old), **given}
    before, after = (_arguments(value) for value in (old, given))
    if not _same(str(spec["class_path"]), str(class_path(old))):
        before = {name: before[name] for name in _COMMON.get(path, ()) if name in before}
    arguments = _updated(before, after, path)
    if arguments:
        return {**spec, "init_args": arguments}
    return new if isinstance(new, str) else spec


def _arguments(spec: Any) -> dict[str, Any]:
    arguments = spec.get("init_args") if isinstance(spec, dict) else None
    return arguments if isinstance(arguments, dict) else {}


def _is_class(value: Any) -> bool:
    """Whether a value names a class: nothing else in a config starts with a capital after its last dot."""
    if isinstance(value, str):
        return value.rpartition(".")[2][:1].isupper()
    return isinstance(value, dict) and isinstance(value.get("class_path"), str)


def _same(one: str, other: str) -> bool:
    """Whether two names are of one class; one of them may be short."""
    short = "." not in one or "." not in other
    return one == other or (short and one.rpartition(".")[2] == other.rpartition(".")[2])
