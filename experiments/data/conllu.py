"""Sentences of CoNLL-U files and of files that number their words as these do (Universal NER's ``.iob2``)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Sentence(NamedTuple):
    """A sentence: what ``# sent_id`` says, and a row of columns for each of its words, the number first."""

    id: str
    words: list[list[str]]

    def column(self, number: int) -> list[str]:
        """One column of all words."""
        return [word[number] for word in self.words]


def sentences(path: Path) -> Iterator[Sentence]:
    """The sentences of a file, without ranges of multiword tokens (``1-2``) and empty nodes (``1.1``).

    The identifier is empty where the file gives none.
    """
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip("\n").split("\n")
        ids = [line.partition("=")[2].strip() for line in lines if line.startswith("# sent_id")]
        rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
        if rows:
            yield Sentence("".join(ids), [row for row in rows if row[0].isdecimal()])


def write(comments: Iterable[str], *columns: Sequence[str]) -> str:
    """A sentence as it is written: its comments, a line of tab-separated columns for each word, a blank line."""
    lines = [*(f"# {comment}" for comment in comments), *map("\t".join, zip(*columns, strict=True))]
    return "\n".join(lines) + "\n\n"
