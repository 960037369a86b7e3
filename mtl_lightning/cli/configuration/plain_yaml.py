"""YAML as jsonargparse reads it, from files and flags, and as it is written for runs. Needs no torch."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from mtl_lightning.errors import UserError, shown
from mtl_lightning.paths import expanded
from mtl_lightning.small_files import read_small_text
from mtl_lightning.words import FLOAT, WordLoader
from mtl_lightning.yaml_limits import ExcessiveYAMLError, check_yaml

Config = dict[str, Any]


def read_yaml(file: str) -> Config:
    """What a config or plan file holds, as ``fit`` reads it.

    Raises:
        UserError: If it cannot be read or is no mapping.
    """
    path = Path(expanded(file))
    try:
        found = _loaded(read_small_text(path), file)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a text file in UTF-8: {error.reason} at byte {error.start}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(_not_there(path, error)) from error
    if not isinstance(found, dict):
        what = "nothing: the file is empty" if found is None else type(found).__name__
        raise UserError(f"{file}: expected keys and values, found {what}")
    if odd := [key for key in found if not isinstance(key, str) or not all(key.split("."))]:
        raise UserError(f"{file}: {shown(odd[0])} is not the name of a setting")
    return {key: _rebuilt(value) for key, value in found.items()}


def parse_value(text: str) -> Any:
    """What a value on the command line means.

    Only what is surely a number, ``true``, ``false``, ``null``, a list or a mapping is read as one: ``007`` or ``1:30``
    or ``off`` stay words, of which jsonargparse makes what the parameter is; so does a dash, which is standard input or
    output, and not a list of nothing.

    Raises:
        UserError: If a key stands twice, or the value is nested without end or stands for too many.
    """
    try:
        return _rebuilt(_loaded(text)) if text.strip() not in ("", "-") else text
    except UserError:
        raise
    except (yaml.YAMLError, ValueError):
        return text


def dump_yaml(config: Any) -> str:
    """A config as YAML that jsonargparse reads back as it is, with words that look like numbers in quotes."""
    return str(yaml.dump(config, Dumper=_Dumper, allow_unicode=True, sort_keys=False))


def _not_there(path: Path, error: Exception) -> str:
    """Why a file cannot be read."""
    if path.is_file():
        return f"config file {path} cannot be read: {getattr(error, 'strerror', None) or error}"
    folder = path if path.is_dir() else path.parent
    configs = [p.name for p in folder.iterdir() if p.name.endswith((".yaml", ".yml"))] if folder.is_dir() else []
    if path.is_dir():
        inside = f"; it holds {', '.join(sorted(configs)[:5])}" if configs else ""
        return f"config file {path} is a folder{inside}"
    known = {Path(name).stem: name for name in configs}
    near = get_close_matches(path.stem, known, n=1)
    hint = f"; did you mean '{known[near[0]]}'?" if near else f"; there are {', '.join(sorted(configs)[:5])}"
    return f"no config file {path}{hint if configs else ''}"


def _loaded(text: str, file: str = "") -> Any:
    """What a text holds, in which no key stands twice: YAML would drop all but the last."""
    try:
        check_yaml(text, WordLoader)
    except ExcessiveYAMLError as error:
        at = f"{file}, line {error.problem_mark.line + 1}: " if file and error.problem_mark else ""
        raise UserError(f"{at}{error.problem}") from error
    except yaml.YAMLError as error:
        if not file:
            raise
        raise UserError(_not_valid(error, file)) from error
    reading: Any = WordLoader(text)
    try:
        node = reading.get_single_node()
        for keys, one, other in _twice(node, (), set()):
            lines = f", in lines {one} and {other}" if file else ""
            twice = f"the key '{'.'.join(keys)}' is given twice{lines}; keep one of them"
            raise UserError(f"{file}: {twice}" if file else twice)
        return None if node is None else reading.construct_document(node)
    except yaml.YAMLError as error:
        if not file:
            raise
        raise UserError(_not_valid(error, file)) from error
    finally:
        reading.dispose()


def _not_valid(error: yaml.YAMLError, file: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{file}: not valid YAML: {' '.join(str(error).split())}"
    return f"{file}, line {mark.line + 1}: not valid YAML: {getattr(error, 'problem', error)}"


def _twice(node: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Keys that stand twice in one mapping, and the lines in which they do."""
    if id(node) in seen:
        return  # an alias
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _twice(item, (*path, str(number)), seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # which no mapping of Python takes
            here, line, name = (*path, str(key.value)), key.start_mark.line + 1, (key.tag, str(key.value))
            if name in lines and not key.tag.endswith(":merge"):
                yield here, lines[name], line
            lines[name] = line
            yield from _twice(value, here, seen)


def _rebuilt(value: Any) -> Any:
    """The same without sharing: an alias of YAML is one object at several keys, and a change of one would be of all."""
    if isinstance(value, dict):
        return {key: _rebuilt(item) for key, item in value.items()}
    return [_rebuilt(item) for item in value] if isinstance(value, list) else value


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Writes everything out."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escapes line ends that are not of ASCII, which PyYAML would fold."""
        style = '"' if {"\x85", "\u2028", "\u2029"} & set(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))  # these need quotes, too
