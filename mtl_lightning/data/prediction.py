"""Inputs to predict on, as a data set without labels."""

import gzip
import sys
from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset

from mtl_lightning.data.files import FileSource
from mtl_lightning.data.source import DataSource
from mtl_lightning.errors import UserError


class PredictSource(DataSource):
    """A table of inputs.

    Args:
        inputs: See :class:`DataSource`.
        table: The inputs.
        origin: Where they come from, for messages.
    """

    def __init__(self, inputs: Mapping[str, str], table: Dataset, origin: str) -> None:
        super().__init__(inputs, {})
        self.table = table
        self.origin = origin

    def load(self) -> dict[str, Dataset]:
        return {"predict": self.table}

    def describe(self, split: str, row: int) -> str:
        return f"{self.origin}, example {row + 1}"


def read_inputs(path: str, datasets: Mapping[str, DataSource]) -> tuple[DataSource, Dataset]:
    """Reads what to predict on.

    A table (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``, also ``.gz``) is mapped as the first data set whose input
    columns it has. Any other file holds texts, one a line; they go to the input ``tokens`` if a data set maps it (the
    encoder splits them into words), else to ``text``. Empty lines are left out.

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
        table = FileSource({"test": path}, {"text": "text"}, {}).load()["test"]
        for inputs in mappings:
            if set(inputs.values()) <= set(table.column_names):
                return PredictSource(inputs, table, path), table
        wanted = " or ".join(", ".join(inputs.values()) for inputs in mappings)
        raise UserError(f"{path} has the columns {', '.join(table.column_names)}; the model reads {wanted}")
    try:
        text = sys.stdin.read() if path == "-" else _read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"--input: {path} is not a text in UTF-8: {error}") from error
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise UserError(f"--input: {'standard input' if path == '-' else path} holds no text")
    names = {name for inputs in mappings for name in inputs}
    if not names & {"text", "tokens"}:
        raise UserError(f"--input: the model reads {', '.join(sorted(names))}, not lines of text; give a table")
    table = Dataset.from_dict({"text": lines})
    return PredictSource({"tokens" if "tokens" in names else "text": "text"}, table, path), table


def _read_text(path: str) -> str:
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        return str(file.read())
