"""Columns that have one value in all rows: what a file is about, where its name alone says so."""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset, IterableDataset

from mtl_lightning.errors import UserError


def with_constants(table: Dataset | IterableDataset, constants: Mapping[str, Any], path: str) -> Any:
    """A table, or a stream, with a column for each constant.

    Args:
        table: What a file holds.
        constants: Value by column.
        path: Of the file, for messages.

    Raises:
        UserError: If the file has such a column.
    """
    if isinstance(table, IterableDataset):
        return table.map(_added, fn_kwargs={"constants": dict(constants), "path": path}) if constants else table
    for name, value in constants.items():
        _check(name, table.column_names, path)
        table = table.add_column(name, [value] * len(table))
    return table


def _added(row: dict[str, Any], constants: Mapping[str, Any], path: str) -> dict[str, Any]:
    for name in constants:
        _check(name, row, path)
    return {**row, **constants}


def _check(name: str, known: Any, path: str) -> None:
    if name in known:
        raise UserError(f"`constants.{name}`: {path} has a column of this name; choose another")
