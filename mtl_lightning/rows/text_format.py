"""How the text of a file is to be read."""

import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass
from encodings.aliases import aliases

from mtl_lightning.errors import UserError, did_you_mean

CSV, TSV, JSON, JSON_LINES, CONLL, CONLLU = "csv", "tsv", "json", "jsonl", "conll", "conllu"

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""Those of CoNLL-U, the format of Universal Dependencies."""

_BY_WORD = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_NAMES = {
    CSV: "CSV",
    TSV: "TSV",
    JSON: "JSON",
    JSON_LINES: "JSON Lines",
    CONLL: "CoNLL",
    CONLLU: "CoNLL-U",
    "parquet": "Parquet",
}
_KINDS = {
    "delimiter": (CSV, TSV),
    "quotes": (CSV, TSV),
    "header": (CSV, TSV),
    "decimal": (CSV, TSV),
    "columns": (CONLL, CONLLU, CSV, TSV),
    "field": (JSON, JSON_LINES),
    "encoding": (CSV, TSV, JSON, JSON_LINES, CONLL, CONLLU),
}
"""Which kinds of files an option is for."""

_WITH_COMMA = re.compile(r"\s*[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?\s*")
"""A number with a decimal comma; points group its thousands."""


@dataclass(frozen=True)
class TextFormat:
    """What is known of a text file before it is opened.

    Args:
        columns: Names of the columns, in order: of CoNLL files, and of CSV and TSV without a header row.
        delimiter: What separates the values of a row, one character or its name (``tab``); null: a comma in CSV, a tab
            in TSV.
        quotes: Whether a value in quotes may hold the delimiter and line ends; null: in CSV, not in TSV.
        header: Whether the first row of CSV and TSV names the columns.
        encoding: Any of Python's; null: UTF-8, or UTF-16 and UTF-32 with a byte order mark.
        field: Key, or dotted keys, of the array of records in a JSON file; null: the file is that array, or JSON Lines.
        keep_blank: Whether an empty line of JSON Lines, CSV or TSV is a bad one; otherwise it is passed over.
        nested: Dotted names of values inside objects that become columns.
        decimal: What stands before the decimals of a number in CSV and TSV: a point or a comma; null: a point.

    Raises:
        UserError: If a value is none of these.
    """

    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    quotes: bool | None = None
    header: bool = True
    encoding: str | None = None
    field: str | None = None
    keep_blank: bool = False
    nested: tuple[str, ...] = ()
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise UserError(f"`decimal` must be a point or a comma in quotes, found {self.decimal!r}")
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise UserError(f"`columns` names '{twice[0]}' twice: {', '.join(self.columns)}")
        if self.delimiter is not None:
            character = _BY_WORD.get(self.delimiter, self.delimiter)
            if len(character) != 1 or character in '"\r\n\0':
                found = repr(self.delimiter) if self.delimiter else 'nothing; put it in quotes: `delimiter: "|"`'
                raise UserError(f"`delimiter` must be one character, or `tab`; found {found}")
            object.__setattr__(self, "delimiter", character)
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if not self.header and not self.columns:
            raise UserError(
                "`header` is false, so `columns` must name the columns of the file, in order; it is missing"
            )

    def delimiter_of(self, kind: str) -> str:
        """What separates values in a file of a kind."""
        return self.delimiter or ("\t" if kind == TSV else ",")

    def quotes_of(self, kind: str) -> bool:
        """Whether quotes mean something in a file of a kind."""
        return kind == CSV if self.quotes is None else self.quotes

    def with_points(self, values: list[str]) -> list[str]:
        """Values of a row, in which numbers with a decimal comma are written with a point, if there are such.

        >>> TextFormat(decimal=",").with_points(["1.234,5", "-0,5", "7", "a, b", "1.10.2024"])
        ['1234.5', '-0.5', '7', 'a, b', '1.10.2024']
        """
        if self.decimal != ",":
            return values
        return [v.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(v) else v for v in values]

    def check_kinds(self, kinds: Collection[str]) -> None:
        """Refuses an option that no file can use.

        Args:
            kinds: Of the files.

        Raises:
            UserError: For an option without effect.
        """
        given = {name for name in _KINDS if getattr(self, name) not in (None, ())} - {"header"}
        given |= set() if self.header else {"header"}
        for name in sorted(given):
            if not set(_KINDS[name]) & set(kinds):
                known, found = (", ".join(sorted(_NAMES.get(k, k) for k in of)) for of in (_KINDS[name], kinds))
                raise UserError(f"`{name}` is for {known}; the files are {found}: leave it out")
        if self.columns and self.header and not {CONLL, CONLLU} & set(kinds):
            raise UserError("`columns` names the columns of files without a header row: set `header: false`, too")


def _check_encoding(name: str) -> None:
    try:
        known = codecs.lookup(name)
    except (LookupError, ValueError):
        known = None
    if known is None or not getattr(known, "_is_text_encoding", True):
        near = did_you_mean(name.lower().replace("-", "_"), [*aliases.values(), *aliases])
        hint = near.replace("_", "-") if near.startswith("did") else "say utf-8, utf-16, latin-1, cp1252 or gb18030"
        raise UserError(f"`encoding` is the unknown '{name}'; {hint}")
