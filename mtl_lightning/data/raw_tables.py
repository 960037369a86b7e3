"""The raw tables of data sets."""

from collections.abc import Iterator, Mapping

import numpy as np
from datasets import Dataset, IterableDataset

from mtl_lightning.data.groups import groups_of
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError


class RawTables(Mapping[str, Mapping[str, Dataset | IterableDataset]]):
    """What data sets hold, by name and split; nothing until it is read."""

    def __init__(self) -> None:
        self._found: dict[str, Mapping[str, Dataset | IterableDataset]] = {}
        self._groups: dict[tuple[str, str, str], np.ndarray] = {}

    def __getitem__(self, name: str) -> Mapping[str, Dataset | IterableDataset]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def read(self, sources: Mapping[str, DataSource]) -> None:
        """Reads data sets.

        Raises:
            UserError: If one cannot be read; it names it.
        """
        for name, source in sources.items():
            try:
                self._found[name] = source.load()
            except UserError as error:
                raise UserError(f"data.datasets.{name}: {error}") from error

    def of(self, name: str, split: str) -> Dataset:
        """The table of a split.

        Raises:
            UserError: If there is none, or it is empty.
        """
        tables = self._found[name]
        if split not in tables:
            raise UserError(
                f"data.datasets.{name} has no split '{split}'; it has {', '.join(tables)}; name a file for it in "
                "`files`, or take it from another one with `split`"
            )
        if len(tables[split]) == 0:
            raise UserError(f"data.datasets.{name}: split '{split}' is empty")
        return tables[split]

    def check(self, split: str, needed: bool) -> None:
        """Raises :class:`UserError` if a split is needed, and no data set has it."""
        if needed and not any(split in tables for tables in self.values()):
            self.of(next(iter(self)), split)

    def is_stream(self, name: str) -> bool:
        """Whether the training split of a data set is a stream."""
        return isinstance(self._found[name].get("train"), IterableDataset)

    def groups(self, name: str, split: str, column: str) -> np.ndarray:
        """The number of each row's group [N], as a column says it; see :func:`.groups_of`."""
        if (key := (name, split, column)) not in self._groups:
            self._groups[key] = groups_of(self.of(name, split), column)
        return self._groups[key]
