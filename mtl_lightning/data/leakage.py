"""Finds what a model should not be shown: texts of two splits, and labels among the inputs."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset, LargeList, List, Value
from datasets.fingerprint import Hasher

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.inputs.column_statistics import INPUTS
from mtl_lightning.rows.columns import pairs_of

_LOG = logging.getLogger(__name__)


def warn_of_leakage(name: str, source: DataSource, tables: Mapping[str, Dataset | IterableDataset]) -> None:
    """Logs what a data set gives away; of a stream's examples, which nobody has read, nothing is said.

    Args:
        name: Of the data set.
        source: The data set.
        tables: Its raw tables by split.
    """
    warn_of_labels_given_away(name, source)
    read = {split: table for split, table in tables.items() if isinstance(table, Dataset)}
    if len(read) == len(tables):
        warn_of_overlap(name, source, read)


def warn_of_labels_given_away(name: str, source: DataSource) -> None:
    """Logs which columns of a table are both an input and the label of a task, which then has nothing to learn.

    Texts, images and arrays may well be both: a model can be asked to write its input down again.

    Args:
        name: Of the data set.
        source: The data set.
    """
    inputs = {column for kind, column in pairs_of(source.inputs) if kind in INPUTS}
    for task, column in pairs_of(source.labels):
        if column in inputs:
            _LOG.warning(
                f"data set '{name}': column '{column}' is an input and the label of '{task}', which it gives away; "
                f"take it out of data.datasets.{name}.inputs"
            )


def warn_of_overlap(name: str, source: DataSource, tables: Mapping[str, Dataset]) -> None:
    """Logs how many examples of the other splits have the input of a training example.

    Inputs are compared by hashes of 64 bits, which are kept in the cache. Inputs that are not texts are not compared.

    Args:
        name: Of the data set.
        source: The data set.
        tables: Its raw tables by split.
    """
    columns = source.input_columns
    if "train" not in tables or not all(_is_text(table, column) for table in tables.values() for column in columns):
        return
    hashes = {split: _hashes(table, columns, f"compare {name}/{split}") for split, table in tables.items()}
    for split in tables.keys() - {"train"}:
        known = np.flatnonzero(np.isin(hashes[split], hashes["train"]) & (hashes[split] != 0))
        if len(known):
            first = source.where(tables[split], split, int(known[0]))
            _LOG.warning(
                f"data set '{name}': {len(known):,} of the {len(tables[split]):,} examples of split '{split}' are in "
                f"split 'train' too; take them out of one of the two; the first: {first}"
            )


def _hashes(table: Dataset, columns: Sequence[str], description: str) -> np.ndarray:
    """A number for each example [N], the same for the same input; 0 where there is none."""
    if len(table) == 0:
        return np.zeros(0, dtype=np.int64)
    hashed = table.select_columns(columns).map(
        _hash,
        batched=True,
        remove_columns=columns,
        new_fingerprint=Hasher.hash(["hash of inputs", table._fingerprint, columns]),
        desc=description,
    )
    return np.concatenate([part.column("hash").to_numpy() for part in hashed.with_format("arrow").iter(100_000)])


def _hash(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[int]]:
    return {"hash": [_digest(values) for values in zip(*columns.values(), strict=True)]}


def _digest(values: Sequence[str | list[str | None] | None]) -> int:
    if not all(values):
        return 0
    text = "\x1e".join(v if isinstance(v, str) else "\x1f".join(map(str, v or ())) for v in values)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _is_text(table: Dataset, column: str) -> bool:
    feature = table.features.get(column)
    inner = feature.feature if isinstance(feature, List | LargeList) else feature
    return isinstance(inner, Value) and inner.dtype in ("string", "large_string")
