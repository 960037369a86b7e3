"""Columns that are made of others."""

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean


def with_templates(table: Dataset | IterableDataset, templates: Mapping[str, str], file: str) -> Any:
    """A table, or a stream, with further columns of texts.

    Args:
        table: What a file holds.
        templates: By name of the new column, a text with names of columns in braces: ``{speaker}.flac``.
        file: Of the table, for messages.

    Raises:
        UserError: If there is such a column already, or none of a name in braces.
    """
    needed = {name: names_in(template) for name, template in templates.items()}
    if isinstance(table, IterableDataset):
        arguments = {"templates": dict(templates), "needed": needed, "file": file}
        return table.map(_filled, fn_kwargs=arguments) if templates else table
    for name, template in templates.items():
        _check(name, needed[name], table.column_names, file)
        columns = [[value for chunk in chunks(table, each) for value in chunk] for each in needed[name]]
        rows = zip(*columns, strict=True) if columns else ((),) * len(table)
        table = table.add_column(name, [template.format_map(dict(zip(needed[name], row, strict=True))) for row in rows])
    return table


def _filled(
    row: dict[str, Any], templates: Mapping[str, str], needed: Mapping[str, Iterable[str]], file: str
) -> dict[str, Any]:
    for name, template in templates.items():
        _check(name, needed[name], row, file)
        row = {**row, name: template.format_map(row)}
    return row


def _check(name: str, needed: Iterable[str], known: Iterable[str], file: str) -> None:
    if name in known:
        raise UserError(f"`templates`: {file} has a column '{name}' already; choose another name")
    for each in needed:
        if each not in known:
            raise UserError(f"`templates.{name}`: {file} has no column '{each}'; {did_you_mean(each, known)}")


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
