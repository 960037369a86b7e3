"""What a later place makes of the settings before it: one rule for files, environment variables and flags.

- Mappings merge, entry by entry, at every depth; ``null`` removes an entry that has a name of the user's own (a task, a
  data set, a label), and is a value where a parameter takes it.
- A class that is named again keeps its arguments; another class keeps none of them.
- Anything else is replaced; ``KEY+`` appends to a list.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from mtl_lightning.cli.configuration.plain_yaml import Config

DEFAULT_CLASSES = {
    ("model", "weighting"): "EqualWeighting",
    ("model", "sharing"): "HardSharing",
    ("model", "optimizer"): "AdamW",
    ("data", "schedule"): "RoundRobin",
}
"""What arguments without a class are given to."""


class Replaced(NamedTuple):
    """A class in whose place another one came.

    Attributes:
        path: Key, without ``init_args``.
        old: Name of the class before.
        new: Name of the class after.
        arguments: Of the class before; they are gone.
    """

    path: tuple[str, ...]
    old: str
    new: str
    arguments: dict[str, Any]


class Merge:
    """Joins settings to one configuration.

    Args:
        config: What is there before; it stays as it is.

    Attributes:
        config: What the settings come to so far.
        replaced: Classes that gave way to others, with arguments that were given.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config: Config = deepcopy(dict(config or {}))
        self.replaced: list[Replaced] = []

    def put(self, key: str, value: Any) -> None:
        """Takes a later setting.

        Args:
            key: Dotted; ``init_args`` may be left out, and a last ``+`` appends to a list.
            value: What it is set to.
        """
        self.config = self._parameters(self.config, _nested(key, value), ())

    def lost(self) -> list[Replaced]:
        """The replaced classes, each with the arguments that nobody gave to the new one."""
        found = [
            item._replace(arguments={k: v for k, v in item.arguments.items() if k not in self._now(item.path)})
            for item in self.replaced
        ]
        return [item for item in found if item.arguments]

    def _now(self, path: tuple[str, ...]) -> Config:
        node: Any = self.config
        for part in path:
            node = node.get(part, arguments_of(node).get(part)) if isinstance(node, dict) else None
        return arguments_of(node)

    def _combined(self, old: Any, new: Any, path: tuple[str, ...]) -> Any:
        held = old if is_class(old) else _of_default_class(old, new, path)
        if is_class(held) and isinstance(new, str | dict):
            return self._class(held, new, path)
        if isinstance(old, list) and old and isinstance(new, dict) and not is_class(new):
            return [
                *old[:-1],
                self._combined(old[-1], new, (*path, str(len(old) - 1))),
            ]  # `callbacks.KEY`: the last one
        if isinstance(old, dict) and isinstance(new, dict):
            return self._parameters(old, new, path) if len(path) == 1 else self._entries(old, new, path)
        return self._parameters({}, new, path) if isinstance(new, dict) and len(path) == 1 else new

    def _entries(self, old: Config, new: Config, path: tuple[str, ...]) -> Config:
        """A mapping whose keys are names that the user chose."""
        merged = {name: item for name, item in old.items() if name not in new or new[name] is not None}
        for name, item in new.items():
            if item is not None or name not in old:
                merged[name] = self._combined(merged.get(name), item, (*path, str(name)))
        return merged

    def _parameters(self, old: Config, new: Config, path: tuple[str, ...]) -> Config:
        """A mapping whose keys are parameters: of a section, of a class."""
        merged = dict(old)
        for key, value in new.items():
            if len(path) == 1 and "." in str(key):  # `model: {optimizer.lr: 0.1}`
                key, _, rest = str(key).partition(".")
                value = _nested(rest, value)
            if isinstance(key, str) and key.endswith("+"):
                merged[key[:-1]] = [*_listed(merged.get(key[:-1])), *_listed(value)]
            else:
                merged[key] = self._combined(merged.get(key), value, (*path, str(key)))
        return merged

    def _class(self, old: str | Config, new: str | Config, path: tuple[str, ...]) -> Any:
        """A class and its arguments after another."""
        given: Config = {"class_path": new} if isinstance(new, str) else new
        if not {"class_path", "init_args"} & set(given):
            given = {"init_args": given}
        spec = {"class_path": class_path(old), **given}
        before, after = arguments_of(old), arguments_of(given)
        if not _same(str(spec["class_path"]), str(class_path(old))):
            if before:
                self.replaced.append(Replaced(path, str(class_path(old)), str(spec["class_path"]), before))
            before = {}
        if arguments := self._parameters(before, after, path):
            return {**spec, "init_args": arguments}
        return new if isinstance(new, str) else spec


def class_path(value: Any) -> str | None:
    """The class that a value of a config names."""
    name = value.get("class_path") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def is_class(value: Any) -> bool:
    """Whether a value names a class: nothing else in a config starts with a capital after its last dot."""
    if isinstance(value, str):
        return value.rpartition(".")[2][:1].isupper()
    return isinstance(value, dict) and isinstance(value.get("class_path"), str)


def arguments_of(spec: Any) -> Config:
    """The arguments that a config gives a class."""
    arguments = spec.get("init_args") if isinstance(spec, dict) else None
    return arguments if isinstance(arguments, dict) else {}


def _nested(key: str, value: Any) -> Config:
    for part in reversed(key.split(".")):
        value = {part: value}
    nested: Config = value
    return nested


def _of_default_class(old: Any, new: Any, path: tuple[str, ...]) -> Any:
    """Arguments that were given to the class that is there by default, where a class is named now."""
    if path in DEFAULT_CLASSES and isinstance(old, dict) and is_class(new):
        return {"class_path": DEFAULT_CLASSES[path], "init_args": old.get("init_args", old)}
    return old


def _same(one: str, other: str) -> bool:
    """Whether two names are of one class; one of them may be short."""
    short = "." not in one or "." not in other
    return one == other or (short and one.rpartition(".")[2] == other.rpartition(".")[2])


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]
