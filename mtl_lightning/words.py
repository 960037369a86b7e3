"""YAML in which words stay words: ``no`` and ``off`` are no booleans, ``007`` and ``1:30`` no numbers."""

import re
from typing import Any, ClassVar

import yaml


def _without(*tags: str) -> dict[str, Any]:
    """What YAML 1.1 makes of plain words, but for some tags."""
    return {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in tags]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|[-+]?\.inf$|\.nan$")
"""Texts that are numbers, besides whole ones."""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WordLoader(_SafeLoader):  # type: ignore[misc]
    """Takes for a number, ``true``, ``false`` or ``null`` only what is surely one; all else is a text.

    A whole number has up to 19 digits: no more fit in 64 bits, and thousands take Python for ever.

    Where a parameter is a boolean or a number, jsonargparse reads it from the text: ``yes`` is true there.

    >>> yaml.load("{labels: [no, 'yes', 007, 1e-3, 2024-01-01], n: 7, flag: true}", WordLoader)
    {'labels': ['no', 'yes', '007', 0.001, '2024-01-01'], 'n': 7, 'flag': True}
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = _without("timestamp", "float", "int", "bool", "value")


WordLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
WordLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"(0|-?[1-9][0-9]{0,18})$"), list("-0123456789"))
WordLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
