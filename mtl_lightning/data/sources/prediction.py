"""Inputs to predict on, as a data set without labels."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from mtl_lightning.data.readers.bad_rows import REMEDY, visible
from mtl_lightning.data.readers.made_columns import with_made
from mtl_lightning.data.readers.mosaics import Mosaic, with_tiles
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.files import file_like, made_of, mosaic_of
from mtl_lightning.data.sources.paths import existing_file
from mtl_lightning.errors import UserError, shown
from mtl_lightning.paths import expanded
from mtl_lightning.rows.bad_lines import BAD, LINE, BadLine
from mtl_lightning.rows.columns import Inputs, pairs_of
from mtl_lightning.rows.files import format_of
from mtl_lightning.rows.lines import Rows
from mtl_lightning.rows.made_columns import check_agreement
from mtl_lightning.rows.text_format import CONLL, CONLLU
from mtl_lightning.rows.texts import OF_LINES, TEXT, no_lines, read_texts

_LOG = logging.getLogger(__name__)

FOUND = "spans"
"""The input that another task may find, so that a table need not have it."""


class _PredictSource(DataSource):
    """A table of inputs, of which those that cannot be understood are skipped.

    Args:
        inputs: See :class:`DataSource`.
        table: The inputs, with their lines, and why a line is none, in the columns that a reader adds.
        origin: Where they come from, for messages.
    """

    remedy = "fix it"

    def __init__(self, inputs: Inputs, table: Dataset, origin: str) -> None:
        super().__init__(inputs, {}, on_bad_row="skip")
        self.table = table
        self.origin = origin
        self.root = str(Path(origin).parent)

    def load(self) -> dict[str, Dataset]:
        return {"predict": self.table}

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        return f"{self.origin}, {'row' if '.parquet' in self.origin else 'line'} {row + 1 if line is None else line}"


def read_inputs(
    path: str, datasets: Mapping[str, DataSource], asked: Collection[str] | None = None
) -> tuple[DataSource, Dataset]:
    """Reads what to predict on; each line of a text or of JSON Lines is a row, also one that is empty or damaged.

    A table (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.parquet``, also ``.gz``) is mapped as the first data set that
    has its input columns. Where another one has them for other inputs, as one column of paths may be of images or of
    sounds, a warning says which, unless tasks are asked for. Any other file holds texts, one a line; they go to the
    input ``tokens`` if a data set maps it (the encoder splits them into words), else to ``text``, or to ``prompt``.

    Args:
        path: A file, or ``-`` for texts on standard input.
        datasets: The data sets that the model was trained on.
        asked: Names of the tasks that are asked for; null: all.

    Returns:
        The inputs as a data set, and their table; lines that are no input say why in its column ``__bad_row__``.

    Raises:
        UserError: If the file cannot be read, holds nothing, or not what the model reads.
    """
    mappings = [source.inputs for source in datasets.values()]
    if path != "-" and not Path(path).is_file():
        raise UserError(f"--input: no file {path}")
    kind = None if path == "-" else format_of(path)
    if kind in (CONLL, CONLLU):
        raise UserError(f"--input: {path} holds CoNLL columns; give texts, one a line, or JSON Lines")
    if kind is not None:
        found = _read_table(path, list(datasets.values()))
        if asked is None:
            _warn_of_others(path, datasets, found[0].inputs)
        return found
    names = {name for inputs in mappings for name in inputs}
    if not (of_lines := [name for name in OF_LINES if name in names]):
        raise UserError(no_lines(path, ", ".join(sorted(names)), _columns_read(list(datasets.values()))))
    origin = "standard input" if path == "-" else path
    table = _text_table(read_texts(path))
    if len(table) == 0:
        raise UserError(f"--input: {origin} holds no text")
    return _PredictSource({of_lines[0]: TEXT}, table, origin), table


def widest_first(datasets: Mapping[str, DataSource]) -> dict[str, DataSource]:
    """The data sets in their order, but each before those of which it has all inputs, and more: no column is ignored.

    Args:
        datasets: By name.
    """
    found: list[tuple[str, DataSource]] = []
    for name, source in datasets.items():
        narrower = (i for i, (_, other) in enumerate(found) if other.inputs.items() < source.inputs.items())
        found.insert(next(narrower, len(found)), (name, source))
    return dict(found)


def _read_table(path: str, sources: Sequence[DataSource]) -> tuple[DataSource, Dataset]:
    """The file, with all its lines, as the first data set reads it whose columns it has, or can be made to have."""
    for number, source in enumerate(sources):
        try:
            table = file_like(source, path).load()["test"]
        except UserError as error:
            raise UserError(f"--input: {str(error).replace(REMEDY, _PredictSource.remedy)}") from error
        assert isinstance(table, Dataset), "no stream"
        given, made = _to_predict_on(source.inputs, columns := visible(table)), made_of(source)
        wanted, mosaic = [column for _, column in pairs_of(given)], mosaic_of(source)
        tiles = mosaic if mosaic is not None and mosaic.makes(wanted, columns) else None
        if made.missing(wanted, columns if tiles is None else [*columns, tiles.column]):
            continue
        alike = [other for other in sources[number + 1 :] if other.inputs == source.inputs]
        needed = made.needed(wanted, columns)
        check_agreement(path, needed, map(made_of, alike))
        table = with_made(table, needed, path)
        if tiles is not None:
            table = _tiled(table, tiles, path, alike)
        return _PredictSource(given, table, path), table
    known = shown(", ".join(columns), 400)[1:-1]
    raise UserError(f"{path} has the columns {known}; the model reads {_columns_read(sources)}")


def _warn_of_others(path: str, datasets: Mapping[str, DataSource], inputs: Inputs) -> None:
    """Says which data set reads the same columns as other inputs, and how to ask for it."""
    of_column = {column: name for name, column in pairs_of(inputs)}
    for name, source in datasets.items():
        pairs = list(pairs_of(_to_predict_on(source.inputs, of_column)))
        others = [pair for pair in pairs if pair not in set(pairs_of(inputs))]
        if others and {column for _, column in pairs} <= of_column.keys():
            other, column = others[0]
            _LOG.warning(
                f"{path}: column '{column}' is read as the input '{of_column[column]}'; to read it as '{other}', as "
                f"data set '{name}' does, ask for its tasks: --tasks {','.join(source.labels)}"
            )


def _tiled(table: Dataset, mosaic: Mosaic, path: str, others: Iterable[DataSource]) -> Dataset:
    """A table with the images of a mosaic, whose path starts from the table's folder."""
    for other in map(mosaic_of, others):
        if other is not None and other.file != mosaic.file:
            both = f"{mosaic.file} and of {other.file}"
            raise UserError(f"--input: {path} has no column '{mosaic.column}', which are tiles of {both}; add it")
    image = existing_file(Path(path).parent / expanded(mosaic.file, "mosaic.file"))
    return with_tiles(table, mosaic, image, "skip")


def _columns_read(sources: Sequence[DataSource]) -> str:
    """The columns of which a table needs some, as messages list them."""
    ways = [(made_of(s), [column for _, column in pairs_of(_to_predict_on(s.inputs, ()))]) for s in sources]
    return " or ".join(dict.fromkeys(made.called(columns) for made, columns in ways))


def _to_predict_on(inputs: Inputs, columns: Collection[str]) -> Inputs:
    """The inputs without the completions of prompts, which are what is to be written, and spans that are not there."""
    left_out = {"completion"} if "prompt" in inputs else set()
    if not {column for name, column in pairs_of(inputs) if name == FOUND}.issubset(columns):
        left_out.add(FOUND)
    return {name: of for name, of in inputs.items() if name not in left_out}


def _text_table(rows: Rows) -> Dataset:
    """A row for each line; one that cannot be a text has none, and says why."""
    found = list(rows)
    texts = [None if isinstance(row, BadLine) else row.values[TEXT] for row in found]
    bad = [json.dumps(row._asdict()) if isinstance(row, BadLine) else None for row in found]
    columns: dict[str, Any] = {TEXT: texts, LINE: list(range(1, len(texts) + 1))}
    return Dataset.from_dict(columns if not any(bad) else {**columns, BAD: bad})
