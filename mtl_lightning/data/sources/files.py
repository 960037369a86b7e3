"""Data sets in local files."""

from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.readers.parquet import parquet_rows, parquet_table
from mtl_lightning.data.readers.text_tables import text_rows, text_table
from mtl_lightning.data.sources.base import SPLITS, DataSource
from mtl_lightning.data.sources.paths import existing_file
from mtl_lightning.data.sources.splits import Split
from mtl_lightning.data.streams.settings import Streaming
from mtl_lightning.errors import UserError, did_you_mean

_FORMATS = {
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
}


class FileSource(DataSource):
    """Examples from JSON Lines, CSV, TSV, Parquet or CoNLL columns, plain or gzipped (``.gz``), told by their endings.

    Splits are files of their own (``{train: …, val: …, test: …}``), or ``split`` makes them out of a single file. CSV
    and TSV have a header row; all their values are texts, and TSV knows no quotes. A ``.json`` file holds JSON Lines or
    one array of objects. Every value is what stands in the file, and messages name its line.

    Args:
        files: Path of each split's file, or of the single file.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        root: Folder that paths start from.
        split: How to divide a single file, :class:`ColumnSplit` or :class:`FractionSplit`.
        columns: Names of the columns of CoNLL files, in order.
        label_maps: See :class:`DataSource`; paths start from ``root``.
        on_bad_row: See :class:`DataSource`.
        streaming: Read the training file as it comes, see :class:`Streaming`; null: it is read before training starts,
            and kept in the cache.

    Attributes:
        keep_blank: Whether an empty line of JSON Lines, CSV or TSV is a bad row; it is passed over otherwise.
    """

    keep_blank = False

    def __init__(
        self,
        files: dict[str, str] | str,
        inputs: dict[str, str],
        labels: dict[str, str],
        root: str = ".",
        split: Split | None = None,
        columns: list[str] | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
        streaming: Streaming | None = None,
    ) -> None:
        maps = {task: str(Path(root, m)) if isinstance(m, str) else m for task, m in (label_maps or {}).items()}
        super().__init__(inputs, labels, maps, on_bad_row)
        if isinstance(files, str) != (split is not None):
            raise UserError("`files` must name a file for each split, or be a single file with `split` beside it")
        for name in files if isinstance(files, Mapping) else ():
            if name not in SPLITS:
                raise UserError(f"`files` has the unknown split '{name}'; {did_you_mean(name, SPLITS)}")
        if columns is not None and len(set(columns)) != len(columns):
            raise UserError(f"`columns` names a column twice: {', '.join(columns)}")
        if streaming is not None and split is not None:
            raise UserError("`streaming` needs a file of its own for `train`; `split` divides one that it must count")
        self.streaming = streaming
        self.files = {"": files} if isinstance(files, str) else dict(files)
        self.root = root
        self.split = split
        self.columns = columns

    def load(self) -> dict[str, Dataset | IterableDataset]:
        tables = {
            name: self._read(file, stream=name == "train" and self.streaming is not None)
            for name, file in self.files.items()
        }
        return self.split.divide(tables[""]) if self.split is not None else tables

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        file = self.files.get("" if self.split is not None else split)
        if file is None or line is None:
            return super().describe(split, row)
        kind = _kind(file)
        if kind == "conll":
            line += word or 0
        return f"{Path(self.root, file)}, {'row' if kind == 'parquet' else 'line'} {line}"

    def _read(self, file: str, stream: bool = False) -> Dataset | IterableDataset:
        path, kind = str(existing_file(Path(self.root, file))), _kind(file)
        if kind is None:
            raise UserError(f"cannot tell the format of {path} by its ending; known: {', '.join(_FORMATS)} (also .gz)")
        if kind == "conll" and not self.columns:
            raise UserError(f"`columns` is missing: name the columns of {path}, in order")
        if stream:
            of_texts = {"path": path, "kind": kind, "columns": tuple(self.columns or ())}
            read, arguments = (parquet_rows, {"path": path}) if kind == "parquet" else (text_rows, of_texts)
            return IterableDataset.from_generator(read, gen_kwargs=arguments)
        if kind == "parquet":
            return parquet_table(path)
        return text_table(path, kind, self.columns, self.on_bad_row, self.keep_blank)


def _kind(path: str) -> str | None:
    endings = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    return _FORMATS.get(endings[-1]) if endings else None
