"""What a text in YAML may hold: plain values, not too many of them, and not nested without end."""

from typing import Any

import yaml

DEPTH = 100
"""Levels of lists and mappings; a thousand would exceed Python's own limit."""

VALUES = 1_000_000
"""When each alias is written out: a few lines of aliases of aliases stand for more than memory holds."""

_TAGS = (None, "!", "tag:yaml.org,2002:str")


class ExcessiveYAMLError(yaml.MarkedYAMLError):
    """A text stands for more than anybody means."""


def check_yaml(text: str, loader: Any) -> None:
    """Makes sure that a text can be read in memory and time that its length bounds.

    Args:
        text: In YAML.
        loader: Class of PyYAML that reads it.

    Raises:
        ExcessiveYAMLError: If it is nested too deeply, stands for too many values, or holds itself.
        yaml.YAMLError: If it is not valid, or asks for something else than plain values by a tag.
    """
    measured = _Measure()
    event: Any
    for event in yaml.parse(text, loader):
        if (tag := getattr(event, "tag", None)) not in _TAGS:
            said = f"the tag {tag[:80]!r} is not supported; write the value without it"
            raise yaml.MarkedYAMLError(problem=said, problem_mark=event.start_mark)
        if (problem := measured.take(event)) is not None:
            raise ExcessiveYAMLError(problem=problem, problem_mark=event.start_mark)


class _Measure:
    """Number of values and depth so far."""

    def __init__(self) -> None:
        self._of_anchors: dict[str, int] = {}
        self._under_way: list[tuple[str | None, int]] = []  # anchor of a collection, and number of values before it
        self._values = 0

    def take(self, event: Any) -> str | None:
        """Counts an event; what is wrong, if something is."""
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if name in (anchor for anchor, _ in self._under_way):
                return f"the alias *{name[:80]} stands within what it stands for"
            self._values += self._of_anchors.get(name, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._under_way.append((event.anchor, self._values))
            self._values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._under_way.pop()
            self._keep(anchor, before)
        elif isinstance(event, yaml.ScalarEvent):
            self._values += 1
            self._keep(event.anchor, self._values - 1)
        if len(self._under_way) > DEPTH:
            return f"nested deeper than {DEPTH} levels"
        return f"more than {VALUES:,} values" if self._values > VALUES else None

    def _keep(self, anchor: str | None, before: int) -> None:
        if anchor is not None:
            self._of_anchors[anchor] = self._values - before
