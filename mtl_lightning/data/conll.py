"""Reads CoNLL columns: one word a line, sentences apart by an empty line."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value

from mtl_lightning.errors import UserError


def read_conll(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the sentences of a file.

    Comment lines ``# name = value`` before a sentence become columns of single values; other comments are passed over.
    Where columns are apart by spaces, ``#tag O`` is a word: it has as many values as there are columns and no ``=``.

    Args:
        path: A text file in UTF-8, plain or gzipped.
        columns: Names of the columns, in order; values are separated by a tab or, where a line has none, by spaces.

    Yields:
        For each sentence a list of values for each column, and a text for each comment.

    Raises:
        UserError: If a line has another number of columns; it names file and line.
    """
    sentence: dict[str, Any] = {}
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            if not line.strip():
                if columns[0] in sentence:
                    yield sentence
                sentence = {}
            elif columns[0] not in sentence and _is_comment(line, len(columns)):
                name, equals, value = line.removeprefix("#").partition("=")
                if equals and name.strip() in columns:
                    raise UserError(f"{path}, line {number}: the comment has the name of a column; rename that column")
                if equals:
                    sentence[name.strip()] = value.strip()
            else:
                values = line.split("\t") if "\t" in line else line.split()
                if len(values) != len(columns):
                    raise UserError(
                        f"{path}, line {number}: expected {len(columns)} columns ({', '.join(columns)}), "
                        f"found {len(values)}: {line!r}"
                    )
                for name, value in zip(columns, values, strict=True):
                    sentence.setdefault(name, []).append(value)
    if columns[0] in sentence:
        yield sentence


def _is_comment(line: str, num_columns: int) -> bool:
    values = line.split()
    is_word = len(values) == num_columns and values[0] != "#" and "=" not in line
    return line.startswith("#") and "\t" not in line and not is_word


def conll_table(path: str, columns: Sequence[str]) -> Dataset:
    """The sentences of a file as a table, cached by path and time of change; see :func:`read_conll`."""
    status = Path(path).stat()
    try:
        names = {name: None for sentence in read_conll(path, columns) for name in sentence}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as CoNLL columns: {error}") from error
    text = Value("string")
    if columns[0] not in names:
        raise UserError(f"{path} holds no examples")
    features = Features({name: List(text) if name in columns else text for name in names})
    version = f"{status.st_size}-{status.st_mtime_ns}"
    arguments = {"path": path, "columns": tuple(columns), "names": tuple(names), "version": version}
    return Dataset.from_generator(_rows, features=features, gen_kwargs=arguments)


def _rows(path: str, columns: Sequence[str], names: Sequence[str], version: str) -> Iterator[dict[str, Any]]:
    for sentence in read_conll(path, columns):
        yield {name: sentence.get(name) for name in names}
