"""Data sets in local files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.bad_rows import OnBadRow
from mtl_lightning.data.readers.made_columns import with_made
from mtl_lightning.data.readers.mosaics import Mosaic, with_tiles
from mtl_lightning.data.readers.nested import with_nested
from mtl_lightning.data.readers.parquet import parquet_rows, parquet_table
from mtl_lightning.data.readers.text_tables import text_rows, text_table
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.by_split import of_splits
from mtl_lightning.data.sources.paths import existing_file
from mtl_lightning.data.sources.splits import Split
from mtl_lightning.data.streams.settings import Streaming
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.rows.columns import Inputs, Labels
from mtl_lightning.rows.conll import line_of_word
from mtl_lightning.rows.files import FORMATS, PARQUET, format_of
from mtl_lightning.rows.made_columns import MadeColumns
from mtl_lightning.rows.text_format import CONLL, CONLLU, CONLLU_COLUMNS, CSV, TSV, TextFormat

_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
"""Endings of files that other programs make tables of."""

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "conll", "conllu"]
"""What a file may be."""


class FileSource(DataSource):
    """Examples from JSON Lines, CSV, TSV, Parquet or CoNLL columns, plain or gzipped (``.gz``), told by their endings.

    Splits are files of their own (``{train: …, val: …, test: …}``), or ``split`` makes them out of a single file. All
    values of CSV and TSV are texts, of which inputs and tasks read numbers; TSV knows no quotes. A JSON file holds JSON
    Lines or one array of objects. A ``.conllu`` file of Universal Dependencies has that format's ten columns, of words
    alone: tokens that are several words, and empty nodes, are left out. Every value is what stands in the file, and
    messages name its line.

    Args:
        files: Path of each split's file, or of the single file.
        inputs: See :class:`DataSource`.
        labels: See :class:`DataSource`.
        root: Folder that paths start from.
        split: How to divide a single file: :class:`ColumnSplit`, :class:`FractionSplit` or :class:`FoldSplit`.
        columns: Names of the columns, in order: of CoNLL files, and of CSV and TSV with ``header: false``. Of CoNLL-U,
            null: the format's own; others whose first one is not ``id`` are read as plain CoNLL.
        label_maps: See :class:`DataSource`; paths start from ``root``.
        on_bad_row: See :class:`DataSource`.
        streaming: Read the training file as it comes, see :class:`Streaming`; null: it is read before training starts,
            and kept in the cache.
        delimiter: What separates the values of CSV and TSV, one character or ``tab``; null: a comma, in TSV a tab.
        quotes: Whether a value of CSV or TSV in quotes may hold delimiters and line ends; null: in CSV alone.
        header: Whether the first row of CSV and TSV names the columns; false: ``columns`` does.
        encoding: Of texts, any of Python's (``latin-1``); null: UTF-8, or UTF-16 with its byte order mark.
        field: Key of a JSON file under which its records stand (``data``, ``response.items``).
        format: Of files with another ending (``iris.data``); null: what their endings say.
        decimal: What stands before the decimals of numbers in CSV and TSV; null: a point. With ``","``, points group
            thousands: ``1.234,5``.
        written_by: Command that writes the files; the error names it where their folder is not there.
        constants: Columns that have one value in all rows, say ``{topic: politics}`` for files about one topic.
        templates: Columns that are made of others, say ``{file: "{speaker}.flac"}``.
        mosaic: An image whose tiles are the images of the rows, see :class:`Mosaic`; its path starts from ``root``.
    """

    def __init__(
        self,
        files: dict[str, str] | str,
        inputs: Inputs,
        labels: Labels,
        root: str = ".",
        split: Split | None = None,
        columns: list[str] | None = None,
        label_maps: dict[str, str | dict[str, list[str]]] | None = None,
        on_bad_row: OnBadRow = "error",
        streaming: Streaming | None = None,
        delimiter: str | None = None,
        quotes: bool | None = None,
        header: bool = True,
        encoding: str | None = None,
        field: str | None = None,
        format: Format | None = None,
        written_by: str = "",
        decimal: Literal[".", ","] | None = None,
        constants: dict[str, str | int | float] | None = None,
        mosaic: Mosaic | None = None,
        templates: dict[str, str] | None = None,
    ) -> None:
        root = expanded(root, "root")
        if isinstance(files, PathLike):
            files = fspath(files)
        maps = {
            task: str(Path(root, expanded(m, f"label_maps.{task}"))) if isinstance(m, str) else m
            for task, m in (label_maps or {}).items()
        }
        super().__init__(inputs, labels, maps, on_bad_row)
        if isinstance(files, str) != (split is not None):
            raise UserError(
                "`files` must name a file for each split, or be a single file with `split` beside it, say "
                "`split: {class_path: FractionSplit, init_args: {val: 0.1, test: 0.1}}`"
            )
        self.files = {"": expanded(files, "files")} if isinstance(files, str) else of_splits("files", files)
        if streaming is not None and split is not None:
            raise UserError("`streaming` needs a file of its own for `train`; `split` divides one that it must count")
        if streaming is not None and mosaic is not None:
            raise UserError(
                "`streaming` reads rows as they come, and `mosaic` adds a column to a whole table; drop one"
            )
        self.streaming = streaming
        self.mosaic = mosaic
        self.root = root
        self.split = split
        self.format = format
        self.written_by = written_by
        self.made = MadeColumns(dict(constants or {}), dict(templates or {}))
        self.form = TextFormat(tuple(columns or ()), delimiter, quotes, header, encoding, field, decimal=decimal)
        if all(kinds := {self._kind(file) for file in self.files.values()}):
            self.form.check_kinds({str(kind) for kind in kinds})

    def check_files(self) -> None:
        for file in self.files.values():
            existing_file(Path(self.root, file), self.written_by)

    def load(self) -> dict[str, Dataset | IterableDataset]:
        tables = {
            name: self._read(file, stream=name == "train" and self.streaming is not None)
            for name, file in self.files.items()
        }
        tables = {name: with_made(table, self.made, self.files[name]) for name, table in tables.items()}
        if self.mosaic is not None:
            image = existing_file(Path(self.root, expanded(self.mosaic.file, "mosaic.file")), self.written_by)
            tables = {name: with_tiles(table, self.mosaic, image, self.on_bad_row) for name, table in tables.items()}
        return self.split.divide(tables[""]) if self.split is not None else tables

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        file = self.files.get("" if self.split is not None else split)
        if file is None or line is None:
            return super().describe(split, row)
        kind = self._kind(file)
        if kind == CONLL:
            line += word or 0
        if kind == CONLLU:
            line = line_of_word(str(Path(self.root, file)), self.form.encoding, line, word or 0)
        return f"{Path(self.root, file)}, {'row' if kind == PARQUET else 'line'} {line}"

    def hint(self, column: str, rows: Sequence[Mapping[str, Any]]) -> str:
        hint, names = super().hint(column, rows), {name for row in rows for name in row}
        mapped = {*self.input_columns, *self.label_columns}
        delimited = {CSV, TSV} & {self._kind(file) for file in self.files.values()}
        if delimited and self.form.header and "delimiter" not in hint and not mapped & names:
            hint += "; if the file has no header row, set `header: false` and `columns: [NAME, …]`"
        return hint

    def _read(self, file: str, stream: bool = False) -> Dataset | IterableDataset:
        path, kind = str(existing_file(Path(self.root, file), self.written_by)), self._kind(file)
        if kind is None and path.lower().endswith(_SHEETS):
            raise UserError(f"{path} is a spreadsheet; save it as CSV, and name that file")
        if kind is None:
            known = f"known: {', '.join(FORMATS)} (also .gz)"
            raise UserError(f"cannot tell the format of {path} by its ending; name it, say `format: csv`; {known}")
        if kind == CONLL and not self.form.columns:
            raise UserError(f"`columns` is missing: name the columns of {path}, in order")
        columns = self.form.columns or (CONLLU_COLUMNS if kind == CONLLU else ())
        form = replace(
            self.form, columns=columns, nested=self._nested(self.split.columns if self.split is not None else ())
        )
        if stream:
            of_texts = {"path": path, "kind": kind, "form": form}
            read, arguments = (parquet_rows, {"path": path}) if kind == PARQUET else (text_rows, of_texts)
            rows = IterableDataset.from_generator(read, gen_kwargs=arguments)
            return with_nested(rows, form.nested) if kind == PARQUET else rows
        if kind == PARQUET:
            return with_nested(parquet_table(path), form.nested)
        return text_table(path, kind, form, self.on_bad_row)

    def _kind(self, file: str) -> str | None:
        """The format of a file; None: it is not known."""
        kind = self.format or format_of(file)
        numbered = not self.form.columns or self.form.columns[0] == CONLLU_COLUMNS[0]
        return CONLL if kind == CONLLU and not numbered else kind


def file_like(source: DataSource, path: str) -> FileSource:
    """A file without labels that is read as those of a data set are, with a row for every line.

    Args:
        source: The data set; of one that is no :class:`FileSource`, only the inputs count.
        path: The file.
    """
    found = FileSource({"test": path}, source.inputs, {}, on_bad_row="skip")
    found.form = replace(form_of(source), keep_blank=True)
    return found


def form_of(source: DataSource) -> TextFormat:
    """How the text of files is read that are like those of a data set; by default, if it is no :class:`FileSource`."""
    return source.form if isinstance(source, FileSource) else TextFormat()


def made_of(source: DataSource) -> MadeColumns:
    """The columns that a data set adds to those of its files; none, if it is no :class:`FileSource`."""
    return source.made if isinstance(source, FileSource) else MadeColumns()


def mosaic_of(source: DataSource) -> Mosaic | None:
    """The image whose tiles are those of the rows; null: there is none."""
    return source.mosaic if isinstance(source, FileSource) else None
