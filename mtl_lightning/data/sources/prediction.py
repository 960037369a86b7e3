"""Inputs to predict on, as a data set without labels."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasets import Dataset

from mtl_lightning.data.columns import integers
from mtl_lightning.data.readers.bad_rows import LINE, MEND, visible
from mtl_lightning.data.readers.lines import flaw, read_lines
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.files import FileSource
from mtl_lightning.errors import UserError, shown


class PredictSource(DataSource):
    """A table of inputs.

    Args:
        inputs: See :class:`DataSource`.
        table: The inputs.
        origin: Where they come from, for messages.
        lines: Number of the line of each input, or of its row where ``origin`` has no lines.
    """

    mend = "mend it"

    def __init__(self, inputs: Mapping[str, str], table: Dataset, origin: str, lines: Sequence[int]) -> None:
        super().__init__(inputs, {})
        self.table = table
        self.origin = origin
        self.lines = lines

    def load(self) -> dict[str, Dataset]:
        return {"predict": self.table}

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        return f"{self.origin}, {'row' if '.parquet' in self.origin else 'line'} {self.lines[row]}"


def read_inputs(path: str, datasets: Mapping[str, DataSource]) -> tuple[DataSource, Dataset]:
    """Reads what to predict on.

    A table (``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.parquet``, also ``.gz``) is mapped as the first data set that
    has its input columns. Any other file holds texts, one a line; they go to the input ``tokens`` if a data set maps it
    (the encoder splits them into words), else to ``text``. Empty lines are left out.

    Args:
        path: A file, or ``-`` for texts on standard input.
        datasets: The data sets that the model was trained on.
    """
    mappings = [source.inputs for source in datasets.values()]
    if path != "-" and not Path(path).is_file():
        raise UserError(f"--input: no file {path}")
    ending = next((s for s in reversed(Path(path).suffixes) if s != ".gz"), "")
    if ending in (".conll", ".conllu", ".bio"):
        raise UserError(f"--input: {path} holds CoNLL columns; give texts, one a line, or JSON Lines")
    if path != "-" and ending in (".jsonl", ".json", ".csv", ".tsv", ".parquet"):
        return _read_table(path, mappings)
    origin = "standard input" if path == "-" else path
    texts = dict(_read_texts(origin, sys.stdin if path == "-" else read_lines(path)))
    if not texts:
        raise UserError(f"--input: {origin} holds no text")
    names = {name for inputs in mappings for name in inputs}
    if not names & {"text", "tokens"}:
        raise UserError(f"--input: the model reads {', '.join(sorted(names))}, not lines of text; give a table")
    table = Dataset.from_dict({"text": list(texts.values())})
    inputs = {"tokens" if "tokens" in names else "text": "text"}
    return PredictSource(inputs, table, origin, list(texts)), table


def _read_table(path: str, mappings: Iterable[Mapping[str, str]]) -> tuple[DataSource, Dataset]:
    try:
        table = FileSource({"test": path}, {"text": "text"}, {}).load()["test"]
    except UserError as error:
        raise UserError(f"--input: {str(error).replace(MEND, PredictSource.mend)}") from error
    plain = table.select_columns(visible(table))
    for inputs in mappings:
        if set(inputs.values()) <= set(plain.column_names):
            return PredictSource(inputs, plain, path, integers(table, LINE).tolist()), plain
    wanted = " or ".join(", ".join(inputs.values()) for inputs in mappings)
    found = shown(", ".join(plain.column_names), 400)[1:-1]
    raise UserError(f"{path} has the columns {found}; the model reads {wanted}")


def _read_texts(origin: str, lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    """The lines that are not empty, by their numbers."""
    try:
        for number, line in enumerate(lines, 1):
            if reason := flaw(line):
                raise UserError(f"--input: {origin}, line {number}: {reason}: {shown(line.strip())}")
            if line.strip():
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"--input: {origin} is not a text in UTF-8: {error}") from error
