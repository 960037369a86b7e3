"""Files are read for an exported model as for a checkpoint: the same rows, and the same said of bad ones."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mtl_lightning.data import FileSource
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.readers.tables import decoded, exact
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.errors import UserError
from mtl_lightning.exported.description import Reading
from mtl_lightning.exported.rows import read
from mtl_lightning.rows.bad_lines import BAD, LINE
from mtl_lightning.rows.text_format import TextFormat

READING = Reading({"text": "text"}, TextFormat(), "text.onnx", {"kind": {}})


def by_checkpoint(path: str) -> list[tuple[int, dict[str, Any], str | None]]:
    """Line, values and what is wrong of each row, as ``predict --ckpt_path`` reads them."""
    _, table = read_inputs(path, {"d": FileSource({"train": "none.csv"}, {"text": "text"}, {"kind": "kind"})})
    raw, json_columns = exact(table.select_columns(visible(table)))
    columns = decoded(raw[:], json_columns)
    values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    bad = table[BAD] if BAD in table.column_names else [None] * len(table)
    reasons = [None if each is None else json.loads(each)["reason"] for each in bad]
    return list(zip(table[LINE], values, reasons, strict=True))


def by_export(path: str) -> list[tuple[int, dict[str, Any], str | None]]:
    """The same of ``predict --model``."""
    return [tuple(row) for row in read(path, [READING]).rows]  # type: ignore[misc]


def outcome(read: Any, path: Path) -> Any:
    try:
        return read(str(path))
    except UserError as error:
        return str(error)


FILES = {
    "lines": ("in.txt", b"a\n\n  \nb\xc3\xa9 \xe2\x80\xa8 c\nlast"),
    "windows": ("in.txt", b"\xef\xbb\xbfa\r\n\r\nb\r\n"),
    "not utf-8, nul": ("in.txt", b"a\n\xff\xfe\nb\x00\n"),
    "utf-16": ("in.txt", "\ufeffa\nb\n".encode("utf-16-le")),
    "nothing": ("in.txt", b""),
    "json lines": (
        "in.jsonl",
        b'{"text": "a", "n": 1}\r\n\r\n{"n": 2.5, "text": null}\n{bad\n[1]\n{"text": "b", "m": {"x": [1]}}',
    ),
    "odd values": (
        "in.jsonl",
        b'{"text": 5}\n{"text": "\\ud800"}\n{"text": "a", "text": "b"}\n{"text": "a", "n": 1e400}\n',
    ),
    "marked": ("in.jsonl", b'\xef\xbb\xbf{"text": "a"}\n{"text": "b\x00"}\n{"text": "\xff"}\n'),
    "no good row": ("in.jsonl", b"{bad\n[1]\n"),
    "blank": ("in.jsonl", b"\n\n"),
    "array": ("in.json", b'[{"text": "a"},\n {"text": "b", "n": [1, 2.5]}]'),
    "broken array": ("in.json", b'[{"text": "a"},\n {"text"'),
    "csv": ("in.csv", b'id,text\n1,"a\nb"\n\n2\n3,"open\n'),
    "tsv": ("in.tsv", b'text\tn\na\t1\n"b\t2\n\nc\n'),
    "one column": ("in.tsv", b"text\na\n\nb\n\n"),
    "no header": ("in.csv", b""),
    "a column twice": ("in.csv", b"text,text\na,b\n"),
    "other columns": ("in.csv", b"words,n\na,1\n"),
    "gzip": ("in.jsonl.gz", gzip.compress(b'{"text": "a"}\n{"text": 1')),
    "half of gzip": ("in.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 3)[:-9]),
    "conll": ("in.conll", b"a x\n"),
}


@pytest.mark.parametrize(("name", "content"), FILES.values(), ids=FILES)
def test_both_read_alike(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found, wanted = outcome(by_export, path), outcome(by_checkpoint, path)
    assert found == wanted
