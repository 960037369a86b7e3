"""Data sets on the Hugging Face hub."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value, load_dataset
from datasets.exceptions import DatasetsError

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.readers.nested import with_nested
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.splits import Split
from mtl_lightning.data.streams.settings import Streaming
from mtl_lightning.errors import UserError
from mtl_lightning.rows.columns import Inputs, Labels


class HubSource(DataSource):
    """Examples from the Hugging Face hub, where there is network or a local cache.

    Args:
        path: Name on the hub, say ``nyu-mll/glue``.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        name: Configuration of the data set, say ``mnli``.
        splits: The hub's name of each split; slices work (``train[:90%]``).
        revision: Branch, tag or commit.
        label_maps: See :class:`DataSource`.
        on_bad_row: See :class:`DataSource`.
        streaming: Read the training split as it comes, see :class:`Streaming`; null: it is downloaded before training.
        split: How to divide a single split of the hub, that which ``splits`` names alone (``{train: train}``); see
            :class:`FileSource`.
    """

    def __init__(
        self,
        path: str,
        inputs: Inputs,
        labels: Labels,
        name: str | None = None,
        splits: dict[str, str] | None = None,
        revision: str | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
        streaming: Streaming | None = None,
        split: Split | None = None,
    ) -> None:
        super().__init__(inputs, labels, label_maps, on_bad_row)
        if split is not None and (len(splits or {}) != 1 or streaming is not None):
            raise UserError("`split` divides a single split, which is no stream; name it: `splits: {train: train}`")
        self.split = split
        self.streaming = streaming
        self.path = path
        self.name = name
        self.splits = splits or {"train": "train", "val": "validation", "test": "test"}
        self.revision = revision

    def load(self) -> dict[str, Dataset | IterableDataset]:
        try:
            tables = {split: self._named(self._load(split, name)) for split, name in self.splits.items()}
            return tables if self.split is None else self.split.divide(*tables.values())
        except (DatasetsError, OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            reason = " ".join(str(error.__cause__ or error).split())
            raise UserError(f"cannot load '{self.path}' from the Hugging Face hub: {reason[:300]}") from error

    def _load(self, split: str, name: str) -> Dataset | IterableDataset:
        if split != "train" or self.streaming is None:
            return load_dataset(self.path, self.name, split=name, revision=self.revision)
        stream = load_dataset(self.path, self.name, split=name, revision=self.revision, streaming=True)
        if self.streaming.num_examples is None and name in (stream.info.splits or {}):
            self.streaming = replace(self.streaming, num_examples=stream.info.splits[name].num_examples)
        return stream

    def _named(self, table: Dataset | IterableDataset) -> Dataset | IterableDataset:
        """With columns for dotted names, and labels by their names where the hub keeps numbers; -1 is a missing one."""
        table = with_nested(table, self._nested(self.split.columns if self.split is not None else ()))
        features, names = Features(table.features or {}), {}
        for column in self.label_columns:
            feature = features.get(column)
            label = getattr(feature, "feature", feature)
            if isinstance(label, ClassLabel):
                names[column] = label.names
                features[column] = Value("string") if label is feature else List(Value("string"))
        return table.map(_with_names, batched=True, fn_kwargs={"names": names}, features=features) if names else table


def _with_names(columns: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {column: _names(columns[column], found) for column, found in names.items()}


def _names(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_names(item, names) for item in value]
    if value is not None and value >= len(names):
        raise UserError(f"label {value} has no name; there are {len(names)}")
    return None if value is None or value < 0 else names[value]
