"""A command's parser is built once a process, and what is asked of it over and over is found at once.

The next run of the command finds the parser as it was when it was new.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import jsonargparse
from jsonargparse import _core, _namespace, _subcommands, _util
from jsonargparse import typing as known_types
from lightning.pytorch.cli import LightningCLI

_OF_CLI = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
_BUILT: dict[Any, tuple[dict[str, Any], list[tuple[Any, Any]]]] = {}
"""By all that a parser is made of: the attributes of the command line that hold it, and the state of its parts."""

_PATHS: dict[type, str | None] = {}

_NAMED: WeakKeyDictionary[Any, tuple[list[Any], dict[str, list[Any]]]] = WeakKeyDictionary()
"""The arguments of a parser, and those that may be meant by a name."""

_build, _path_of = LightningCLI.setup_parser, _util.get_import_path
_find_among_all = _subcommands.find_action_and_subcommand
_parse_any_key = jsonargparse.Namespace._parse_key


def install() -> None:
    """From now on."""
    LightningCLI.setup_parser = _set_up
    for module in (_util, known_types):
        module.get_import_path = _import_path  # type: ignore[attr-defined]
    for module in (_core, _subcommands):
        module.find_action_and_subcommand = _find  # type: ignore[attr-defined]
    jsonargparse.Namespace._parse_key = _parse_key  # type: ignore[method-assign]


def _set_up(self: LightningCLI, add_subcommands: bool, *settings: dict[str, Any]) -> None:
    classes = (type(self), self.trainer_class, self._model_class, self._datamodule_class)
    key = (*classes, tuple(self.subcommands()), add_subcommands, repr(settings))
    if key not in _BUILT:
        _build(self, add_subcommands, *settings)
        _BUILT[key] = {name: getattr(self, name) for name in _OF_CLI if hasattr(self, name)}, _state(self.parser)
    of_cli, state = _BUILT[key]
    for container, content in state:
        container.clear()
        container.extend(content) if isinstance(container, list) else container.update(content)
    vars(self).update(of_cli)
    _rename(self.parser)


def _state(parser: jsonargparse.ArgumentParser) -> list[tuple[Any, Any]]:
    """Whatever using a parser may change, and a copy of what is in it; parts share some of it."""
    attributes = [vars(part) for part in _parts(parser)]
    inside = [value for each in attributes for value in each.values() if type(value) in (dict, list, set)]
    return [(container, container.copy()) for container in (*attributes, *inside)]


def _rename(parser: jsonargparse.ArgumentParser) -> None:
    """Calls the program by its name of now, which begins those of its commands."""
    before, now = parser.prog, Path(sys.argv[0]).name
    for part in _parts(parser):
        for name in {"prog", "_prog_prefix"} & set(vars(part)):
            setattr(part, name, now + getattr(part, name).removeprefix(before))


def _parts(parser: jsonargparse.ArgumentParser) -> Iterator[Any]:
    """A parser, its arguments, and the same of those of its subcommands."""
    yield parser
    for action in parser._actions:
        yield action
        for below in (getattr(action, "_name_parser_map", None) or {}).values():
            yield from _parts(below)


def _import_path(value: Any) -> str | None:
    """Of a class that stands for a kind of annotation, such as that of ``int | None``, looked for once."""
    if not isinstance(value, type) or value.__module__ not in ("abc", "builtins", "types", "typing"):
        return _path_of(value)
    if value not in _PATHS:
        _PATHS[value] = _path_of(value)
    return _PATHS[value]


def _parse_key(self: jsonargparse.Namespace, key: Any) -> tuple[str, jsonargparse.Namespace | None, str]:
    """Most keys are a name alone, of which nothing has to be split or looked up."""
    if isinstance(key, str) and key.isidentifier():
        return _namespace.add_clash_mark(key), self, ""
    return _parse_any_key(self, key)


def _find(parser: Any, dest: str, exclude: Any = None) -> Any:
    """Among the arguments that may be meant, in the same way."""
    actions, named = _NAMED.get(parser, ([], {}))
    if actions != parser._actions:
        actions, named = parser._actions.copy(), {}
        _NAMED[parser] = actions, named
    if dest not in named:
        named[dest] = [action for action in actions if _may_be(action, dest)]
    return _find_among_all(SimpleNamespace(_actions=named[dest]), dest, exclude)  # type: ignore[arg-type]


def _may_be(action: Any, dest: str) -> bool:
    return (
        isinstance(action, _subcommands.ActionSubCommands)
        or action.dest == dest
        or f"--{dest}" in action.option_strings
    )
