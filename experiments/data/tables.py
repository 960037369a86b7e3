"""The formats that recipes write: TSV and JSON Lines, in UTF-8."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence


def tsv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    r"""A table without quotes: tabs and ends of lines inside a value become a space, those around it nothing.

    >>> tsv(["text", "label"], [["two\nlines", "a"]])
    b'text\tlabel\ntwo lines\ta\n'
    """
    lines = ("\t".join(_plain(value) for value in row) for row in (header, *rows))
    return "".join(f"{line}\n" for line in lines).encode()


def json_lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    r"""A JSON object a line.

    >>> json_lines([{"text": "é"}])
    b'{"text": "\xc3\xa9"}\n'
    """
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _plain(value: str) -> str:
    return re.sub(r"[\t\r\n]+", " ", value).strip()
