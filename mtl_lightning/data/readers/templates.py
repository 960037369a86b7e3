"""Columns that are made of others."""

from collections.abc import Iterable, Mapping
from typing import Any

from datasets import Dataset, IterableDataset, Value

from mtl_lightning.data.readers.tables import chunks
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.rows.made_columns import MadeColumns, names_in


def with_templates(table: Dataset | IterableDataset, templates: Mapping[str, str], file: str) -> Any:
    """A table, or a stream, with further columns of texts.

    Args:
        table: What a file holds.
        templates: By name of the new column, a text with names of columns in braces: ``{speaker}.flac``. What is made
            of a missing value is missing.
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
        made = MadeColumns(templates={name: template})
        values = [made.filled(dict(zip(needed[name], row, strict=True)))[name] for row in rows]
        table = table.add_column(name, values, feature=Value("string"))
    return table


def _filled(
    row: dict[str, Any], templates: Mapping[str, str], needed: Mapping[str, Iterable[str]], file: str
) -> dict[str, Any]:
    for name, template in templates.items():
        _check(name, needed[name], row, file)
        row = MadeColumns(templates={name: template}).filled(row)
    return row


def _check(name: str, needed: Iterable[str], known: Iterable[str], file: str) -> None:
    if name in known:
        raise UserError(f"`templates`: {file} has a column '{name}' already; choose another name")
    for each in needed:
        if each not in known:
            raise UserError(f"`templates.{name}`: {file} has no column '{each}'; {did_you_mean(each, known)}")
