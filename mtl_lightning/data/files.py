"""Data sets in local files."""

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetGenerationError
from pyarrow import parquet

from mtl_lightning.data.conll import conll_table
from mtl_lightning.data.delimited import delimited_table
from mtl_lightning.data.source import SPLITS, DataSource
from mtl_lightning.data.splits import Split
from mtl_lightning.errors import UserError, did_you_mean

_FORMATS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
}
_DELIMITERS = {"csv": ",", "tsv": "\t"}


class FileSource(DataSource):
    """Examples from JSON Lines, CSV, TSV, Parquet or CoNLL columns, plain or gzipped (``.gz``), told by their endings.

    Splits are files of their own (``{train: …, val: …, test: …}``), or ``split`` makes them out of a single file. CSV
    and TSV have a header row; all their values are texts, and TSV knows no quotes.

    Args:
        files: Path of each split's file, or of the single file.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        root: Folder that paths start from.
        split: How to divide a single file, :class:`ColumnSplit` or :class:`FractionSplit`.
        columns: Names of the columns of CoNLL files, in order.
    """

    def __init__(
        self,
        files: dict[str, str] | str,
        inputs: dict[str, str],
        labels: dict[str, str],
        root: str = ".",
        split: Split | None = None,
        columns: list[str] | None = None,
    ) -> None:
        super().__init__(inputs, labels)
        if isinstance(files, str) != (split is not None):
            raise UserError("`files` must name a file for each split, or be a single file with `split` beside it")
        for name in files if isinstance(files, Mapping) else ():
            if name not in SPLITS:
                raise UserError(f"`files` has the unknown split '{name}'; {did_you_mean(name, SPLITS)}")
        self.files = {"": files} if isinstance(files, str) else dict(files)
        self.root = root
        self.split = split
        self.columns = columns

    def load(self) -> dict[str, Dataset]:
        tables = {name: self._read(self._path(file)) for name, file in self.files.items()}
        return self.split.divide(tables[""]) if self.split is not None else tables

    def describe(self, split: str, row: int) -> str:
        file = self.files.get(split)
        return super().describe(split, row) if file is None else f"{self._path(file)}, example {row + 1}"

    def _path(self, file: str) -> str:
        path = Path(self.root, file)
        if not path.is_file():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = did_you_mean(path.name, beside) if beside else f"there is no folder {path.parent}"
            raise UserError(f"no file {path}; {hint}")
        return str(path)

    def _read(self, path: str) -> Dataset:
        endings = [suffix for suffix in Path(path).suffixes if suffix != ".gz"]
        kind = _FORMATS.get(endings[-1]) if endings else None
        if kind is None:
            raise UserError(f"cannot tell the format of {path} by its ending; known: {', '.join(_FORMATS)} (also .gz)")
        if kind != "conll":
            return read_table(path, kind)
        if not self.columns:
            raise UserError(f"`columns` is missing: name the columns of {path}, in order")
        return conll_table(path, self.columns)


def read_table(path: str, kind: str) -> Dataset:
    """Reads a JSON Lines, CSV, TSV or Parquet file as a table.

    Raises:
        UserError: If the file is not what its ending says, or empty.
    """
    try:
        if kind in _DELIMITERS:
            return delimited_table(path, _DELIMITERS[kind])
        if kind == "parquet" and path.endswith(".gz"):  # which `load_dataset` does not unpack
            with gzip.open(path) as file:
                return Dataset(parquet.read_table(file))
        return load_dataset(kind, data_files=path, split="train")
    except (DatasetGenerationError, csv.Error, OSError, StopIteration, ValueError) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) else error
        if isinstance(cause, UserError):
            raise cause from None
        reason = " ".join(str(cause or error).split()) or "it is empty"
        raise UserError(f"cannot read {path} as {kind}: {reason[:300]}") from error
