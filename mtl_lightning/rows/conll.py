"""Reads CoNLL columns: one word a line, sentences apart by an empty line."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice

from mtl_lightning.rows.bad_lines import BadLine
from mtl_lightning.rows.lines import LONGEST, Example, Rows, flaw, read_lines, too_long
from mtl_lightning.rows.text_format import TextFormat

_BLANK = " \t\r\n"
_NO_WORD = re.compile(r"\d+(-\d+|\.\d+)")
"""What stands in the first column of CoNLL-U where a line is no word: a range of words that are written as one token
(``1-2``), or a node that is not written (``1.1``)."""


def read_conll(path: str, form: TextFormat, numbered: bool = False) -> Rows:
    """Yields the sentences of a file: for each column a list of values, and a text for each comment.

    Comment lines ``# name = value`` before a sentence become columns of single values; other comments are passed over.
    Where columns are apart by spaces, ``#tag O`` is a word: it has as many values as there are columns and no ``=``. So
    is ``# O``, if its last value is ``O`` or stands in the last column of another line.

    Args:
        path: A text file, plain or gzipped.
        form: Its columns and encoding; values are separated by a tab or, where a line has none, by spaces.
        numbered: Whether the first column is that of CoNLL-U, which numbers the words of a sentence from 1; tokens of
            several words (``1-2``) and empty nodes (``1.1``) are left out.

    Raises:
        UserError: If the file cannot be read.
    """
    sentence = _Sentence(path, form, numbered)
    for number, line in enumerate(read_lines(path, form.encoding), 1):
        if line.strip(_BLANK):
            sentence.add(number, line)
        else:
            yield from sentence.finish()
    yield from sentence.finish()


def line_of_word(path: str, encoding: str | None, first: int, word: int) -> int:
    """The line of a word of a sentence whose words are numbered.

    Args:
        path: The file.
        encoding: Of its text.
        first: Line of the sentence's first word.
        word: Its position in the sentence.
    """
    lines = islice(enumerate(read_lines(path, encoding), 1), first - 1, None)
    words = (number for number, line in lines if not _NO_WORD.match(line))
    return next(islice(words, word, None))


class _Sentence:
    """The lines of a sentence; ``finish`` begins the next one."""

    def __init__(self, path: str, form: TextFormat, numbered: bool) -> None:
        self.path = path
        self.numbered = numbered
        self.encoding = form.encoding
        self.columns = form.columns
        self._begin()

    def _begin(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.words: list[list[str]] = []
        self.comments: dict[str, str] = {}
        self.first = 0
        self.problem: tuple[int, str] | None = None

    def add(self, number: int, line: str) -> None:
        """Takes a line that is not empty."""
        self.lines.append(line)
        self.size += len(line)
        if self.size > LONGEST:
            hint = "are its sentences apart by empty lines?"
            raise too_long(self.path, number - len(self.lines) + 1, hint)
        values = _values(line)
        reason = flaw(line, self.encoding)
        if reason is None and not self.words and self._is_comment(line, values):
            name, equals, value = line.strip(_BLANK).removeprefix("#").partition("=")
            if equals and name.strip() in self.columns:
                reason = "the comment has the name of a column; rename that column"
            elif equals:
                self.comments[name.strip()] = value.strip()
        elif reason is None and len(values) != len(self.columns):
            reason = f"expected {len(self.columns)} columns ({', '.join(self.columns)}), found {len(values)}"
        elif reason is None and not (self.numbered and _NO_WORD.fullmatch(values[0])):
            self.first = self.first or number
            self.words.append(values)
            if self.numbered and values[0] != str(len(self.words)):
                reason = f"expected the number {len(self.words)} of the word in its first column, found {values[0]!r}"
        if reason is not None and self.problem is None:
            self.problem = (number, reason)

    def finish(self) -> Iterator[Example | BadLine]:
        """The sentence, if there is one."""
        if self.problem is not None:
            yield BadLine(*self.problem, "".join(self.lines))
        elif self.words:
            columns = dict(zip(self.columns, map(list, zip(*self.words, strict=True)), strict=True))
            yield Example(self.first, {**columns, **self.comments})
        self._begin()

    def _is_comment(self, line: str, values: Sequence[str]) -> bool:
        if not line.startswith("#") or "\t" in line:
            return False
        if len(values) != len(self.columns) or "=" in line:
            return True
        return values[0] == "#" and values[-1] != "O" and values[-1] not in self.last_values

    @cached_property
    def last_values(self) -> set[str]:
        """What stands in the last column of the lines that cannot be comments."""
        rows = (_values(line) for line in read_lines(self.path, self.encoding) if not line.startswith("#"))
        return {values[-1] for values in rows if len(values) == len(self.columns)}


def _values(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    return line.split("\t") if "\t" in line else [value for value in line.split(" ") if value]
