"""Data sets on the Hugging Face hub."""

from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, load_dataset

from mtl_lightning.data.source import DataSource
from mtl_lightning.errors import UserError


class HubSource(DataSource):
    """Examples from the Hugging Face hub, where there is network or a local cache.

    Args:
        path: Name on the hub, say ``nyu-mll/glue``.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        name: Configuration of the data set, say ``mnli``.
        splits: The hub's name of each split; slices work (``train[:90%]``).
        revision: Branch, tag or commit.
    """

    def __init__(
        self,
        path: str,
        inputs: dict[str, str],
        labels: dict[str, str],
        name: str | None = None,
        splits: dict[str, str] | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__(inputs, labels)
        self.path = path
        self.name = name
        self.splits = splits or {"train": "train", "val": "validation", "test": "test"}
        self.revision = revision

    def load(self) -> dict[str, Dataset]:
        try:
            return {
                split: self._named(load_dataset(self.path, self.name, split=name, revision=self.revision))
                for split, name in self.splits.items()
            }
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"cannot load '{self.path}' from the Hugging Face hub: {reason[:300]}") from error

    def _named(self, table: Dataset) -> Dataset:
        """Labels by their names, where the hub keeps numbers with names beside them; -1 is a missing label."""
        for column in self.labels.values():
            feature = table.features.get(column)
            label = getattr(feature, "feature", feature)
            if isinstance(label, ClassLabel):
                values = [_names(value, label.names) for value in table[column]]
                table = table.remove_columns(column).add_column(column, values)
        return table


def _names(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_names(item, names) for item in value]
    return None if value is None or value < 0 else names[value]
