"""Columns that no file has: those of one value in all rows, and those that are made of others."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from mtl_lightning.errors import UserError, shown


@dataclass(frozen=True)
class MadeColumns:
    """What a configuration adds to the columns of files.

    Args:
        constants: Value by column.
        templates: Text by column, with names of columns in braces: ``{speaker}.flac``. One may name the column of
            another that stands before it.
    """

    constants: Mapping[str, Any] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the columns, in the order in which they are made."""
        return [*self.constants, *self.templates]

    def needed(self, wanted: Iterable[str], known: Collection[str]) -> "MadeColumns":
        """Those of which some columns are, or are made, that are not known.

        >>> made = MadeColumns({"year": 1999, "topic": "sport"}, {"file": "{who}-{year}.wav"})
        >>> made.needed(["file"], ["who"]).names
        ['year', 'file']
        """
        open_ = set(wanted) - set(known)
        for name in reversed(list(self.templates)):
            if name in open_:
                open_ |= set(names_in(self.templates[name])) - set(known)
        constants = {name: value for name, value in self.constants.items() if name in open_}
        return MadeColumns(constants, {name: text for name, text in self.templates.items() if name in open_})

    def missing(self, wanted: Iterable[str], known: Iterable[str]) -> list[str]:
        """Which of some columns are not there once all are made that can be made of the known ones."""
        there = {*known, *self.constants}
        for name, template in self.templates.items():
            if set(names_in(template)) <= there:
                there.add(name)
        return [name for name in wanted if name not in there]

    def filled(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with these columns; what is made of a missing value is missing."""
        found = {**row, **self.constants}
        for name, template in self.templates.items():
            parts = {each: found.get(each) for each in names_in(template)}
            found[name] = None if any(value is None for value in parts.values()) else template.format_map(parts)
        return found

    def called(self, wanted: Iterable[str]) -> str:
        """Columns as a message lists them, with what they may be made of.

        >>> MadeColumns({}, {"file": "{who}-{digit}.wav"}).called(["file", "start"])
        'file (or who, digit), start'
        """
        return ", ".join(
            f"{name} (or {', '.join(names_in(self.templates[name]))})"
            if name in self.templates and names_in(self.templates[name])
            else name
            for name in wanted
        )


def check_agreement(path: str, made: MadeColumns, others: Iterable[MadeColumns]) -> None:
    """Refuses a file that lacks a column of which data sets that read it alike say different things.

    Args:
        path: The file.
        made: What is added to it.
        others: What other data sets would add.
    """
    for other in others:
        for name, value in made.constants.items():
            if name in other.constants and other.constants[name] != value:
                both = f"{shown(value)} and {shown(other.constants[name])}"
                raise UserError(f"--input: {path} has no column '{name}', which the data sets say is {both}; add it")


def names_in(template: str) -> list[str]:
    """The names in braces, each once.

    Raises:
        UserError: If braces do not fit, or hold something else.

    >>> names_in("{speaker}/{digit}_{speaker}.wav")
    ['speaker', 'digit']
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise UserError(
            f"`templates`: '{template}': {error}; name columns in braces, say `{{speaker}}.flac`"
        ) from error
    if any(not name or not name.isidentifier() or form or change for _, name, form, change in parts):
        raise UserError(f"`templates`: '{template}' holds more than names in braces; write `{{speaker}}.flac`, say")
    return list(dict.fromkeys(str(name) for _, name, _, _ in parts))
