"""Where each key stands that a command was given otherwise than by a flag."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mtl_lightning.cli.configuration.given import Given
from mtl_lightning.small_files import read_small_text
from mtl_lightning.words import WordLoader
from mtl_lightning.yaml_limits import check_yaml


class Entry(NamedTuple):
    """A key of a file, a variable, or the configuration inside a checkpoint.

    Attributes:
        path: The keys that lead to it, itself last.
        place: The file and line it stands in, or the variable.
        value: A scalar as it is written, a list as Python writes it; empty for a mapping.
    """

    path: tuple[str, ...]
    place: str
    value: str


def entries_of(given: Given) -> list[Entry]:
    """The keys that a command was given in variables and files, those that win first."""
    entries = [
        Entry(tuple(variable.key.split(".")), f"environment variable {variable.name}", variable.text)
        for variable in reversed(given.variables)
    ]
    entries += [entry for file in reversed(given.files) for entry in _entries(file)]
    return entries + (list(_walked(given.base.config, (), given.base.name)) if given.base is not None else [])


def without_init_args(path: Sequence[str]) -> tuple[str, ...]:
    """The path of a key as messages write it."""
    return tuple(part for part in path if part != "init_args")


def _entries(file: str) -> Iterator[Entry]:
    def walk(node: yaml.Node, path: tuple[str, ...]) -> Iterator[Entry]:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            here = (*path, str(key.value))
            yield Entry(here, f"{file}, line {key.start_mark.line + 1}", _written(value))
            yield from walk(value, here)

    try:
        text = read_small_text(Path(file))
        check_yaml(text, WordLoader)
        root = yaml.compose(text)
    except (OSError, ValueError, yaml.YAMLError):
        return
    if root is not None:
        yield from walk(root, ())


def _walked(config: Mapping[str, Any], path: tuple[str, ...], place: str) -> Iterator[Entry]:
    for key, value in config.items():
        here = (*path, str(key))
        yield Entry(here, place, "" if isinstance(value, Mapping) else str(value))
        if isinstance(value, Mapping):
            yield from _walked(value, here, place)


def _written(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return str(yaml.load(yaml.serialize(node), WordLoader))
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
