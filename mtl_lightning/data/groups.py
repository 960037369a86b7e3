"""Groups of examples, such as those of a user, that a column of the data says."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from datasets import Dataset

from mtl_lightning.data.encoding import check_columns
from mtl_lightning.data.readers.tables import decoded, exact
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.raw_labels import is_missing, tidy

_SPLITS = ("val", "test")


def groups_of(table: Dataset, column: str) -> np.ndarray:
    """The number of each example's group [N], the same for a value in all tables; -1 where the value is missing.

    Args:
        table: Raw columns.
        column: Name of the one that says the group; 3, 3.0 and "3" are one.
    """
    raw, json_columns = exact(table.select_columns([column]))
    values = decoded(raw[:], json_columns)[column]
    numbers = {value: _number(value) for value in set(values)}
    return np.array([numbers[value] for value in values], dtype=np.int64)


def check_groups(
    sources: Mapping[str, DataSource], tables: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Any]
) -> None:
    """Raises :class:`UserError` if a data set misses the column that a task takes its groups from.

    Args:
        sources: The data sets, by name.
        tables: Tables of each by split, if they are read.
        tasks: All tasks, by name.
    """
    for name, found in tables.items():
        columns = {task: tasks[task].group for task in sources[name].labels if task in tasks}
        for task, column in columns.items():
            for split in _SPLITS if column is not None else ():
                if split in found:
                    check_columns(f"model.tasks.{task}", {"group": column}, found[split], sources[name])


def _number(value: Any) -> int:
    if is_missing(value):
        return -1
    return int.from_bytes(blake2b(tidy(str(value)).encode(), digest_size=8).digest(), "big") >> 1
