"""Says which columns of a table tell a model nothing."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import shown
from mtl_lightning.inputs.column_statistics import CountedRows, category

_LOG = logging.getLogger(__name__)


def noticed(where: str, columns: Mapping[str, Sequence[str]], rows: Iterable[CountedRows]) -> Iterator[CountedRows]:
    """Passes rows on, and warns at their end of columns that have no value, or the same one in every row.

    Args:
        where: The data set and its split, for messages.
        columns: Names of the columns of each input.
        rows: Some thousand at a time.
    """
    found: dict[str, set[str | None]] = {name: set() for names in columns.values() for name in names}
    for some in rows:
        for key, names in columns.items():
            for name, column in zip(names, some[key], strict=True):
                _add(found[name], column.values)
        yield some
    for name, values in found.items():
        if len(values) == 1:
            (value,) = values
            what = "has no value" if value is None else f"has the value {shown(value)} in every row"
            _LOG.warning(f"{where}: column '{name}' {what}; it tells the model nothing")


def _add(found: set[str | None], values: Sequence[Any]) -> None:
    """Adds what differs, until there are two."""
    for value in values:
        if len(found) > 1:
            return
        found.add(category(value))
