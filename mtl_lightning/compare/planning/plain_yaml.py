"""YAML as jsonargparse reads it: what `compare` takes from a file, and what it writes for its runs. Needs no torch."""

from pathlib import Path
from typing import Any

import yaml

from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.words import FLOAT, WordLoader

Config = dict[str, Any]


def read_yaml(file: str) -> Config:
    """What a config or plan file holds, as ``fit`` reads it.

    Raises:
        UserError: If it cannot be read or is no mapping.
    """
    try:
        found = yaml.load(Path(expanded(file)).read_text("utf-8"), Loader=WordLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config file {file} cannot be read: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected keys and values, found {type(found).__name__}")
    return {str(key): _rebuilt(value) for key, value in found.items()}


def parse_value(text: str) -> Any:
    """What a value on the command line means.

    Only what is surely a number, ``true``, ``false``, ``null``, a list or a mapping is read as one: ``007`` or ``1:30``
    or ``off`` stay words, of which jsonargparse makes what the parameter is.
    """
    try:
        return _rebuilt(yaml.load(text, Loader=WordLoader)) if text.strip() else text
    except (yaml.YAMLError, ValueError):
        return text


def dump_yaml(config: Any) -> str:
    """A config as YAML that jsonargparse reads back as it is, with words that look like numbers in quotes."""
    return str(yaml.dump(config, Dumper=_Dumper, allow_unicode=True, sort_keys=False))


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
