"""What a source that is read as it comes must say."""

from collections.abc import Mapping

from datasets import Dataset, IterableDataset

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError


def check_streams(name: str, source: DataSource, tables: Mapping[str, Dataset | IterableDataset]) -> None:
    """Refuses what a stream cannot do.

    Args:
        name: Of the data set.
        source: The data set.
        tables: What it loaded, by split.
    """
    where = f"data.datasets.{name}"
    for split, table in tables.items():
        if not isinstance(table, IterableDataset):
            continue
        if split != "train":
            raise UserError(f"{where}: split '{split}' is a stream; only 'train' may be one, the others are counted")
        if source.streaming is None:
            raise UserError(f"{where}: split 'train' is a stream, so the source must say how it is read: `streaming`")
        if source.streaming.num_examples is None:
            raise UserError(f"{where}.streaming.num_examples is missing: how many examples count as a pass?")
        if source.on_bad_row == "skip":
            raise UserError(f"{where}: a stream cannot skip bad rows, which are counted first; set `on_bad_row: error`")
