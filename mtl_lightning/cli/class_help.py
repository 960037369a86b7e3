"""``--KEY.help CLASS``: the arguments of a class, wherever in a configuration a class may stand."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule

_ROOTS: dict[str, type] = {"trainer": Trainer, "model": MultiTaskModule, "data": MultiTaskDataModule}

_NOT_NAMED = ("_", "LazyInstance_")
"""Beginnings of names that no configuration uses; jsonargparse makes classes of the latter for defaults."""

Classes = dict[type, int]
"""Classes that may stand somewhere, with the number of arguments that are not configured: a parameter list, say."""


def class_help(arguments: Sequence[str]) -> str | None:
    """The help that a command line asks for with ``--KEY.help CLASS``; None if it does not.

    LightningCLI knows such flags of its first level alone, and not for the entries of a dict. Here a key may go as deep
    as a configuration does, with the names of data sets and tasks or without them (``--data.datasets.NAME.split.help``,
    ``--data.datasets.split.help``). Without a class it says which there are.

    Args:
        arguments: The command and its options.

    Raises:
        UserError: If no class may stand there, or there is no such class.
    """
    assert PLUGINS, "classes are looked up among what is imported"
    for position, option in enumerate(arguments):
        if found := re.fullmatch(r"--([\w.-]+)\.help(?:=(.*))?", option):
            key, name = found.groups()
            following = arguments[position + 1 : position + 2]
            if name is None and following and not following[0].startswith("-"):
                (name,) = following
            return _help(arguments[0], key, name)
    return None


def _help(command: str, key: str, name: str | None) -> str:
    bases = _classes_at(key)
    if not bases:
        raise UserError(f"--{key}.help: `{key}` takes no class; `mtl-lightning {command} --help_all` shows every key")
    known = classes_for(key)
    if not name and len(known) > 1:
        names = "\n".join(f"  {name}" for name in sorted(known))
        return f"`{key}` takes one of these, or the import path of your own:\n{names}\n\nHelp: --{key}.help CLASS"
    chosen = (
        known[name] if name in known else _imported(key, name, known, bases) if name else next(iter(known.values()))
    )
    skipped = max(number for base, number in bases.items() if base in (chosen, *chosen.__mro__, *bases))
    parser = ArgumentParser(
        prog=f"mtl-lightning {command}", description=_summary(chosen), add_help=False, usage="%(prog)s [options]"
    )
    added = parser.add_class_arguments(
        chosen, key, as_group=False, skip={skipped} if skipped else None, fail_untyped=False
    )
    return str(parser.format_help()) + ("" if added else "\nIt takes no arguments.\n")


def classes_for(key: str) -> dict[str, type]:
    """The classes that may stand at a key, by short name, as far as they are imported."""
    bases = _classes_at(key)
    return {c.__name__: c for c in reversed(_known(bases)) if _may_stand(c, bases)}


def _may_stand(found: type, bases: Classes) -> bool:
    is_mere_base = found in bases and bool(found.__subclasses__())
    return not (inspect.isabstract(found) or is_mere_base or found.__name__.startswith(_NOT_NAMED))


def _summary(described: type) -> str:
    """What a class says of itself, without displayed formulas, arguments and the site's markup."""
    text = re.split(r"\n *(?:Args:|[.][.] )", inspect.getdoc(described) or "")[0]
    text = re.sub(r":[\w:]+:`[~.]*([^`]*)`", r"\1", text).replace("``", "`")
    return f"{described.__name__}: {text.strip()}"


def _imported(key: str, path: str, known: Mapping[str, type], bases: Classes) -> type:
    module, _, name = path.rpartition(".")
    if not module:
        raise UserError(f"--{key}.help: no class '{path}'; {did_you_mean(path, known)}")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--{key}.help: {error}") from error
    if not isinstance(found, type):
        raise UserError(f"--{key}.help: '{path}' is not a class")
    if not issubclass(found, tuple(bases)):
        raise UserError(f"--{key}.help: '{path}' is not a {' or '.join(base.__name__ for base in bases)}")
    return found


def _classes_at(key: str) -> Classes:
    """What may stand at a key; nothing if there is no such key, or none for a class."""
    first, *path = key.split(".")
    found: Classes = {_ROOTS[first]: 0} if first in _ROOTS and path else {}
    entries: Classes = {}  # what an entry of the dict may be whose name may come next
    for segment in path:
        hints = [hint for owner in _known(found) if (hint := _hints(owner).get(segment)) is not None]
        found = {**entries, **_merged(_classes(hint) for hint in hints)}
        entries = found if any(_is_dict(hint) for hint in hints) else {}
    return found


def _classes(hint: Any) -> Classes:
    """The classes that a type hint allows."""
    arguments = get_args(hint)
    if get_origin(hint) is Callable and arguments:
        return dict.fromkeys(_classes(arguments[1]), len(arguments[0]) if isinstance(arguments[0], list) else 0)
    if arguments:
        return _merged(_classes(argument) for argument in arguments)
    return {hint: 0} if isinstance(hint, type) and hint.__module__ not in ("builtins", "typing") else {}


def _is_dict(hint: Any) -> bool:
    return get_origin(hint) is dict or any(_is_dict(argument) for argument in get_args(hint) if get_origin(hint))


def _merged(parts: Iterable[Classes]) -> Classes:
    return {found: number for part in parts for found, number in part.items()}


def _known(bases: Iterable[type]) -> list[type]:
    """The classes and all that inherit from them, as far as they are imported."""
    return [c for base in bases for c in (base, *_known(type.__subclasses__(base)))]


def _hints(owner: type) -> dict[str, Any]:
    try:
        return get_type_hints(owner.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # names that a library imports for type checkers alone
        return {}
