"""Text files of any format."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from mtl_lightning.errors import UserError
from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.conll import read_conll
from mtl_lightning.rows.delimited import read_delimited
from mtl_lightning.rows.json_lines import read_json
from mtl_lightning.rows.lines import Example, Rows
from mtl_lightning.rows.nested import add_nested
from mtl_lightning.rows.text_format import CONLL, CONLLU, CSV, JSON, JSON_LINES, TSV, TextFormat

PARQUET = "parquet"

FORMATS = {
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON,
    ".csv": CSV,
    ".tsv": TSV,
    ".parquet": PARQUET,
    ".conll": CONLL,
    ".conllu": CONLLU,
    ".bio": CONLL,
}
"""What files are by their endings."""


def format_of(path: str) -> str | None:
    """What a file is by its ending, ``.gz`` aside; null: it is not known."""
    endings = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() != ".gz"]
    return FORMATS.get(endings[-1]) if endings else None


def read_rows(path: str, kind: str, form: TextFormat) -> Rows:
    """The rows of a file, with the values inside objects that ``form`` names.

    Args:
        path: The file, plain or gzipped.
        kind: ``jsonl``, ``json``, ``csv``, ``tsv``, ``conll`` or ``conllu``.
        form: How its text is read.
    """
    readers: dict[str, Callable[[], Rows]] = {
        JSON: lambda: read_json(path, form, arrays=True),
        JSON_LINES: lambda: read_json(path, form, arrays=False),
        CSV: lambda: read_delimited(path, form, CSV),
        TSV: lambda: read_delimited(path, form, TSV),
        CONLL: lambda: read_conll(path, form),
        CONLLU: lambda: read_conll(path, form, numbered=True),
    }
    rows = readers[kind]()
    return (_with_nested(row, form.nested) for row in rows) if form.nested else rows


def _with_nested(row: Example | BadLine, names: Sequence[str]) -> Example | BadLine:
    if isinstance(row, BadLine):
        return row
    try:
        return Example(row.line, add_nested(row.values, names))
    except UserError as error:
        return BadLine(row.line, str(error), json.dumps(row.values, ensure_ascii=False, default=str))
