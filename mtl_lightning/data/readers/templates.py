"""Columns that are made of others."""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean


def with_templates(table: Dataset | IterableDataset, templates: Mapping[str, str], file: str) -> Any:
    """A table with further columns of texts.

    Args:
        table: What a file holds.
        templates: By name of the new column, a text with names of columns in braces: ``{speaker}.flac``.
        file: Of the table, for messages.

    Raises:
        UserError: If there is such a column already, or none of a name in braces.
    """
    for name, template in templates.items():
        known, needed = table.column_names or [], names_in(template)
        if name in known:
            raise UserError(f"`templates`: {file} has a column '{name}' already; choose another name")
        for missing in (each for each in needed if isinstance(table, Dataset) and each not in known):
            raise UserError(f"`templates.{name}`: {file} has no column '{missing}'; {did_you_mean(missing, known)}")
        if isinstance(table, Dataset):
            values = zip(*([v for chunk in chunks(table, each) for v in chunk] for each in needed), strict=True)
            texts = [template.format(**dict(zip(needed, row, strict=True))) for row in values]
            table = table.add_column(name, texts if needed else [template] * len(table))
        else:
            table = table.map(lambda row, name=name, text=template: {name: text.format(**row)})
    return table


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
