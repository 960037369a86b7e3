"""Configs as plain dicts: read, changed by key, cut down to some of their tasks. Needs no torch."""

import re
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import yaml

from mtl_lightning.errors import UserError

Config = dict[str, Any]

DEMO = Path(__file__).parent.parent / "demo.yaml"

_WHOLE = {("model", "tasks"), ("data", "datasets")}
"""Dicts that a later file replaces, as `fit` does."""


def read_config(files: Sequence[str], flags: Sequence[str] = ()) -> Config:
    """The config that ``fit`` would run: files and flags, later ones win; without a file the demo.

    Args:
        files: YAML files.
        flags: Further options of ``fit``, ``--KEY VALUE`` or ``--KEY=VALUE``.

    Raises:
        UserError: If a file cannot be read or a flag has no value.
    """
    config: Config = {}
    for file in files or [str(DEMO)]:
        config = _merged(config, read_yaml(file))
    for key, value in _pairs(flags):
        set_value(config, key, value)
    return config


def set_value(config: Config, key: str, value: Any) -> None:
    """Changes a value in place.

    Args:
        config: Of a run.
        key: Dotted; ``init_args`` may be left out, and a last ``+`` appends to a list.
        value: The new one.
    """
    *path, last = key.split(".")
    node: Any = config
    for position, part in enumerate(path):
        node = _arguments(node) if part != "init_args" else node
        if isinstance(node.get(part), str) and path[position + 1 :] != ["class_path"]:
            node[part] = {"class_path": node[part], "init_args": {}}
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    if last not in ("class_path", "init_args"):
        node = _arguments(node)
    if last.endswith("+"):
        node[last[:-1]] = [*_listed(node.get(last[:-1])), value]
    else:
        node[last] = value


def get_value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, in which ``init_args`` may be left out; None where there is none."""
    node: Any = config
    for part in key.split("."):
        if isinstance(node, Mapping) and part not in node:
            node = node.get("init_args")
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def class_path(value: Any) -> str | None:
    """The class that a value of a config names."""
    return value.get("class_path") if isinstance(value, Mapping) else value


def restricted(config: Mapping[str, Any], tasks: Collection[str]) -> Config:
    """The same run on some of its tasks, with equal weighting: data sets that label none of them are left out.

    Args:
        config: Of a run.
        tasks: Names of the tasks to keep.
    """
    cut = deepcopy(dict(config))
    cut["model"]["tasks"] = {name: task for name, task in cut["model"]["tasks"].items() if name in tasks}
    cut["model"]["weighting"] = "EqualWeighting"
    cut["data"]["tasks"] = list(cut["model"]["tasks"])
    arguments = get_value(config, "data.schedule.init_args") or {}
    if any(isinstance(value, dict) for value in arguments.values()):
        del cut["data"]["schedule"]  # it speaks of data sets or tasks that are left out
    return cut


def tasks_of(config: Mapping[str, Any]) -> list[str]:
    """Names of the tasks.

    Raises:
        UserError: If there are none.
    """
    tasks = get_value(config, "model.tasks")
    if not isinstance(tasks, dict) or not tasks:
        raise UserError("model.tasks is empty; name at least one task")
    return list(tasks)


def parse_value(text: str) -> Any:
    """What a flag's value means, read as YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def read_yaml(file: str) -> Config:
    """What a YAML file holds.

    Raises:
        UserError: If it cannot be read or is no mapping.
    """
    try:
        found = yaml.load(Path(file).read_text("utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config file {file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected keys and values, found {type(found).__name__}")
    return found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads ``1e-3`` as a number and ``off`` as a word, as jsonargparse does and YAML 1.1 does not."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def _merged(before: Config, after: Config, path: tuple[str, ...] = ()) -> Config:
    merged = dict(before)
    for key, value in after.items():
        old, here = merged.get(key), (*path, key)
        same = isinstance(value, dict) and value.get("class_path", class_path(old)) == class_path(old)
        if isinstance(old, dict) and isinstance(value, dict) and same and here not in _WHOLE:
            merged[key] = _merged(old, value, here)
        else:
            merged[key] = value
    return merged


def _pairs(flags: Sequence[str]) -> list[tuple[str, Any]]:
    pairs, rest = [], list(flags)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--"):
            raise UserError(f"unexpected argument '{flag}'; options start with '--'")
        key, equals, value = flag.removeprefix("--").partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"flag {flag} has no value")
            value = rest.pop(0)
        pairs.append((key, parse_value(value)))
    return pairs


def _arguments(node: Config) -> Config:
    """Where the arguments of a class are."""
    if "class_path" in node:
        arguments: Config = node.setdefault("init_args", {})
        return arguments
    return node


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]
