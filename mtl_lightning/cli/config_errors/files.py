"""The configuration files of a command line, and where in them each key stands."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from mtl_lightning.errors import did_you_mean
from mtl_lightning.words import WordLoader


class Entry(NamedTuple):
    """A key of a YAML file.

    Attributes:
        path: The keys that lead to it, itself last.
        place: The file and line it stands in.
        value: A scalar as it is written, a list as Python writes it; empty for a mapping.
    """

    path: tuple[str, ...]
    place: str
    value: str


def config_files(arguments: Sequence[str]) -> list[str]:
    """The files that ``--config`` names.

    Args:
        arguments: The command line: command, then options.
    """
    files = []
    for option, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, attached = option.partition("=")
        if name in ("--config", "-c"):
            files.append(attached or value)
    return files


def unreadable(file: str) -> str | None:
    """Why a file is no configuration; null: it is one."""
    path = Path(file)
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        configs = [name for name in beside if name.endswith((".yaml", ".yml"))]
        return f"no config file {file}" + (f"; {did_you_mean(path.name, configs)}" if configs else "")
    try:
        yaml.compose(path.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return f"{file}, line {mark.line + 1 if mark else '?'}: not valid YAML: {error.problem}"
    except UnicodeDecodeError as error:
        return f"{file} is not a text file in UTF-8: {error.reason} at byte {error.start}"
    return None


def entries_of(files: Sequence[str]) -> list[Entry]:
    """The keys of readable files, those of the last file first: they win."""
    return [entry for file in reversed(files) for entry in _entries(file)]


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

    root = yaml.compose(Path(file).read_text("utf-8"))
    if root is not None:
        yield from walk(root, ())


def _written(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return str(yaml.load(yaml.serialize(node), WordLoader))
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
