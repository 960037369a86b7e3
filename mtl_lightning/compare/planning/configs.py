"""Configs as plain dicts: read, changed by key, cut down to some of their tasks. Needs no torch."""

import os
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from mtl_lightning.cli.configuration.given import SECTIONS as SECTIONS
from mtl_lightning.cli.configuration.given import as_value, given, refuse_questions
from mtl_lightning.cli.configuration.merge import Merge
from mtl_lightning.cli.configuration.merge import class_path as class_path
from mtl_lightning.cli.configuration.plain_yaml import Config as Config
from mtl_lightning.cli.configuration.resolve import refuse_malformed as refuse_malformed
from mtl_lightning.cli.configuration.resolve import resolve, said
from mtl_lightning.demo import DEMO
from mtl_lightning.errors import UserError


def read_config(files: Sequence[str], flags: Sequence[str] = ()) -> Config:
    """The config that ``fit`` would run: files, then flags, later ones win; without a file the demo.

    Args:
        files: YAML files.
        flags: Further options of ``fit``, ``--KEY VALUE`` or ``--KEY=VALUE``; ``--config FILE`` among them, too.

    Raises:
        UserError: If a file cannot be read, a flag has no value, or a section is not one.
    """
    options = given("fit", [*(f"--config={file}" for file in files), *flags], os.environ)
    refuse_questions("compare", options)
    options = options if options.files else replace(options, files=(str(DEMO),))
    config, _ = resolve(options, as_value)  # what is lost is said where `fit` reads the same
    return {name: value for name, value in config.items() if value != {} or name in ("model", "data")}


def refuse_shared_folders(config: Mapping[str, Any]) -> None:
    """Refuses what would make all runs write into one folder.

    Raises:
        UserError: If the config names a folder for checkpoints, logs or the run.
    """
    folders = [(key, get_value(config, key)) for key in ("checkpoint.dirpath", "trainer.default_root_dir")]
    for logger in _listed(get_value(config, "trainer.logger")):
        folders.append(("trainer.logger.save_dir", get_value({"logger": logger}, "logger.save_dir")))
    for key, folder in folders:
        if folder is not None:
            raise UserError(f"{key}: every run of a comparison has a folder of its own; leave out '{folder}'")


def set_value(config: Config, key: str, value: Any) -> None:
    """Changes a value in place.

    Args:
        config: Of a run.
        key: Dotted; ``init_args`` may be left out, and a last ``+`` appends to a list.
        value: The new one.
    """
    *path, last = key.split(".")
    node = _node(config, path, last)
    if last.endswith("+"):
        node[last[:-1]] = [*_listed(node.get(last[:-1])), *_listed(value)]
    else:
        node[last] = value


def after(config: Mapping[str, Any], changes: Mapping[str, Any]) -> tuple[Config, list[str]]:
    """What changes come to, by the rules of a further file: SGD after AdamW keeps no argument of it.

    Args:
        config: Of a run.
        changes: By dotted key; each is taken with those before it.

    Returns:
        What the config then holds under the keys that they touch (of a section: its parts), for :func:`set_value`.
    """
    merge = Merge(config)
    for key, value in changes.items():
        merge.put(key, deepcopy(value))
    parts = (".".join(key.removesuffix("+").split(".")[:2]) for key in changes)
    return {part: get_value(merge.config, part) for part in parts}, list(map(said, merge.lost()))


def get_value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, in which ``init_args`` may be left out; None where there is none."""
    node: Any = config
    for part in key.split("."):
        if isinstance(node, Mapping) and part not in node:
            node = node.get("init_args")
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def restricted(config: Mapping[str, Any], tasks: Collection[str]) -> Config:
    """The same run on some of its tasks, with equal weighting: data sets that label none of them are left out.

    Each task has a head of its own there, whatever other tasks it reads in the run. Groups or an order of tasks, in an
    option of the sharing, are those of the tasks that are kept.

    Args:
        config: Of a run.
        tasks: Names of the tasks to keep.
    """
    cut = deepcopy(dict(config))
    cut["model"]["tasks"] = {name: task for name, task in cut["model"]["tasks"].items() if name in tasks}
    cut["model"].pop("chain", None)
    _restrict_sharing(cut, tasks_of(config), tasks)
    if isinstance(teachers := get_value(cut, "model.distil.teacher"), dict):
        cut["model"]["distil"]["teacher"] = _less(teachers, tasks)
        if not cut["model"]["distil"]["teacher"]:
            del cut["model"]["distil"]
    cut["model"]["weighting"] = "EqualWeighting"
    cut["data"]["tasks"] = list(cut["model"]["tasks"])
    arguments = get_value(config, "data.schedule.init_args")
    if isinstance(arguments, dict) and any(isinstance(value, dict) for value in arguments.values()):
        del cut["data"]["schedule"]  # it speaks of data sets or tasks that are left out
    return cut


def _restrict_sharing(config: Config, tasks: Sequence[str], kept: Collection[str]) -> None:
    arguments = get_value(config, "model.sharing.init_args")
    for name, value in list(arguments.items()) if isinstance(arguments, dict) else ():
        if _named(value) and _named(value) <= set(tasks):
            arguments[name] = _less(value, kept)
            if not arguments[name]:
                del arguments[name]


def _named(value: Any) -> set[Any]:
    """What a list, of lists or not, or the keys of a mapping name."""
    if isinstance(value, list):
        return {name for part in value for name in (_named(part) if isinstance(part, list | dict) else {part})}
    return set(value) if isinstance(value, dict) else set()


def _less(value: Any, kept: Collection[str]) -> Any:
    """The same of some names alone; lists of none are left out."""
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name in kept}
    parts = [_less(part, kept) if isinstance(part, list | dict) else part for part in value]
    return [part for part in parts if (part if isinstance(part, list | dict) else part in kept)]


def labelled_tasks(config: Mapping[str, Any]) -> list[str]:
    """The tasks that a data set labels; one that does not say which ones it does may label all."""
    tasks = tasks_of(config)
    sources = (get_value(config, "data.datasets") or {}).values()
    labels = [get_value({"source": source}, "source.labels") or tasks for source in sources]
    return [task for task in tasks if not labels or any(task in each for each in labels)]


def tasks_of(config: Mapping[str, Any]) -> list[str]:
    """Names of the tasks.

    Raises:
        UserError: If there are none.
    """
    tasks = config["model"].get("tasks")
    if not isinstance(tasks, dict) or not tasks:
        raise UserError("model.tasks is empty; name at least one task")
    if numbers := [name for name in tasks if not isinstance(name, str)]:
        raise UserError(f"model.tasks: expected words as names, found {numbers[0]!r}; put it in quotes")
    return list(tasks)


def _node(config: Config, path: Sequence[str], last: str) -> Config:
    """Where the last part of a key is; made on the way."""
    node: Any = config
    for position, part in enumerate(path):
        node = _arguments(node) if part != "init_args" else node
        holder: Any = node
        place: Any = part
        if isinstance(node.get(part), list) and node[part]:
            holder, place = node[part], -1  # a key after `callbacks+` speaks of the last one
        found = node.get(part) if holder is node else holder[place]
        if isinstance(found, str) and [*path, last][position + 1 :] != ["class_path"]:
            found = {"class_path": found, "init_args": {}}
        holder[place] = node = found if isinstance(found, dict) else {}
    return node if last in ("class_path", "init_args") else _arguments(node)


def _arguments(node: Config) -> Config:
    """Where the arguments of a class are."""
    if "class_path" not in node:
        return node
    if not isinstance(node.get("init_args"), dict):
        node["init_args"] = {}
    arguments: Config = node["init_args"]
    return arguments


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]
