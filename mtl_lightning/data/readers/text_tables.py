"""Tables of text files: JSON Lines, CSV, TSV and CoNLL columns."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, Json, Value
from datasets.utils import tqdm

from mtl_lightning.data.readers.bad_rows import REMEDY, OnBadRow
from mtl_lightning.data.readers.json_types import Kind, features_of, join, kind_of
from mtl_lightning.data.readers.tables import cached
from mtl_lightning.errors import UserError, shown
from mtl_lightning.rows.bad_lines import BAD, LINE, BadLine
from mtl_lightning.rows.files import read_rows
from mtl_lightning.rows.lines import Example, Rows, check_names, check_number
from mtl_lightning.rows.text_format import TextFormat

_MOST_ROWS = 1000
_MOST_CHARACTERS = 2**24


def text_table(path: str, kind: str, form: TextFormat, on_bad_row: OnBadRow) -> Dataset:
    """The rows of a file as a table, cached by content, with their lines in the column ``__line__``.

    Args:
        path: The file, plain or gzipped.
        kind: ``jsonl``, ``json``, ``csv``, ``tsv``, ``conll`` or ``conllu``.
        form: How its text is read.
        on_bad_row: ``skip``: a line that is no example becomes a row without values, with why in ``__bad_row__``.

    Raises:
        UserError: If the file cannot be read, a line is no example, or none is one.
    """
    settings = [kind, astuple(form), on_bad_row]
    return cached(path, settings, lambda: _make(path, lambda: read_rows(path, kind, form), on_bad_row))


def text_rows(path: str, kind: str, form: TextFormat) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file, for a stream; arguments as those of :func:`text_table`.

    Raises:
        UserError: If the file cannot be read, or at a line that is no example.
    """
    for row in read_rows(path, kind, form):
        if isinstance(row, BadLine):
            raise UserError(f"{path}, line {row.line}: {row.reason}: {shown(row.text.rstrip())}; fix it")
        yield {**row.values, LINE: row.line}


def _make(path: str, read: Callable[[], Rows], on_bad_row: OnBadRow) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Goes through the file twice: what its columns hold must be known before the first row is written."""
    kinds, bad = _survey(path, read(), on_bad_row)
    if bad is not None and (on_bad_row == "error" or not kinds):
        remedy = REMEDY if on_bad_row == "error" else "no row is good"
        raise UserError(f"{path}, line {bad.line}: {bad.reason}: {shown(bad.text.rstrip())}; {remedy}")
    if not kinds:
        raise UserError(f"{path} holds no examples")
    check_names(path, list(kinds))
    features = features_of(kinds)
    hidden = {LINE: Value("int64")} if bad is None else {LINE: Value("int64"), BAD: Value("string")}
    return Features({**features, **hidden}).arrow_schema, _batches(read(), features, BAD in hidden)


def _survey(path: str, rows: Rows, on_bad_row: OnBadRow) -> tuple[dict[str, Kind], BadLine | None]:
    """What the columns hold, and the first line that is no example."""
    kinds: dict[str, Kind] = {}
    bad: BadLine | None = None
    for row in tqdm(rows, f"read {Path(path).name}", unit=" examples", delay=1):
        if isinstance(row, Example):
            _update(kinds, row.values)
        else:
            bad = bad or row
            if on_bad_row == "error":
                break
        check_number(path, row.line, kinds)
    return kinds, bad


def _update(kinds: dict[str, Kind], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        kind = kind_of(value)
        known = kinds.setdefault(name, kind)
        if kind != known:
            kinds[name] = join([known, kind])


def _batches(rows: Rows, features: Features, with_bad: bool) -> Iterator[pa.RecordBatch]:
    taken: list[Example | BadLine] = []
    characters = 0
    for row in rows:
        taken.append(row)
        characters += len(row.text) if isinstance(row, BadLine) else _size(row.values)
        if len(taken) == _MOST_ROWS or characters > _MOST_CHARACTERS:
            yield _batch(taken, features, with_bad)
            taken, characters = [], 0
    if taken:
        yield _batch(taken, features, with_bad)


def _size(values: Mapping[str, Any]) -> int:
    return sum(len(value) for value in values.values() if isinstance(value, str))


def _batch(rows: Sequence[Example | BadLine], features: Features, with_bad: bool) -> pa.RecordBatch:
    values: list[Mapping[str, Any]] = [row.values if isinstance(row, Example) else {} for row in rows]
    columns = {name: _array([v.get(name) for v in values], feature) for name, feature in features.items()}
    columns[LINE] = pa.array([row.line for row in rows], pa.int64())
    if with_bad:
        bad = [json.dumps(row._asdict()) if isinstance(row, BadLine) else None for row in rows]
        columns[BAD] = pa.array(bad, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def _array(values: list[Any], feature: Any) -> pa.Array:
    if not isinstance(feature, Json):
        return pa.array(values, feature.pa_type if isinstance(feature, Value) else Features({"": feature}).type[0].type)
    storage = pa.array([None if v is None else json.dumps(v, ensure_ascii=False) for v in values], pa.string())
    return pa.ExtensionArray.from_storage(pa.json_(), storage)
