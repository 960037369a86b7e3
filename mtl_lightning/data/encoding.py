"""From raw columns to encoded ones, cached."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.fingerprint import Hasher

from mtl_lightning.data.cache import made_once, num_encoders, same_environment
from mtl_lightning.data.examples import FORMAT, Columns, ExampleEncoder, LabelEncoder, Processor
from mtl_lightning.data.file_states import state_of, states_of_arrays
from mtl_lightning.data.readers.bad_rows import BadRow, visible
from mtl_lightning.data.readers.tables import chunks, decoded, exact
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.inputs.image_files import ARRAYS, LABEL_ENDINGS
from mtl_lightning.paths import located
from mtl_lightning.rows.bad_lines import BAD, LINE, BadLine
from mtl_lightning.rows.columns import Inputs, pairs_of, raw_values
from mtl_lightning.stopping import followed
from mtl_lightning.version import __version__

_ROW = "__row__"
"""Column of the rows' numbers in their table."""

_FIRST_ROWS = 20
"""Rows that a hint looks at."""


class Encoding:
    """Encodes the tables of one data set.

    Args:
        name: Of the data set, for messages.
        source: The data set.
        processor: The encoder's processor.
        tasks: The tasks that the data set labels, by name.
    """

    def __init__(self, name: str, source: DataSource, processor: Processor, tasks: Mapping[str, LabelEncoder]) -> None:
        self.name = name
        self.source = source
        self.processor = processor
        self.tasks = tasks
        for given in source.inputs:
            if given not in processor.inputs:
                hint = did_you_mean(given, processor.inputs)
                raise UserError(f"data.datasets.{name}.inputs: the encoder has no input '{given}'; {hint}")
        try:
            processor.check(source.inputs)
        except UserError as error:
            raise UserError(f"data.datasets.{name}.inputs: {error}") from error
        for task, encoder in tasks.items():
            self._check_inputs(task, encoder)
        if isinstance(words := source.inputs.get("tokens"), list):
            raise UserError(f"data.datasets.{name}.inputs.tokens: words stand in one column, found {', '.join(words)}")

    def _check_inputs(self, task: str, encoder: LabelEncoder) -> None:
        """Refuses a data set without the inputs that a task reads."""
        given = self.source.inputs
        of_words = encoder.level == "tokens" and not encoder.required_inputs
        needed = ["tokens"] if of_words else encoder.required_inputs
        if missing := [each for each in needed if not set(each.split("|")) & set(given)]:
            names = " or ".join(f"`{name}`" for name in missing[0].split("|"))
            what = "labels words" if of_words else f"reads {' and '.join(needed).replace('|', ' or ')}"
            raise UserError(
                f"data.datasets.{self.name}.inputs: task '{task}' {what}, so the data set must map a column to "
                f"the input {names}; it maps {', '.join(given)}"
            )

    def __call__(self, table: Dataset, split: str, labelled: bool = True) -> Dataset:
        """Encodes a table; the result is cached by content.

        Args:
            table: Raw columns.
            split: Its name, for messages.
            labelled: Whether to encode labels too; they are not needed to predict.

        Returns:
            Columns ``row`` (number of the example in ``table``), ``inputs/<name>``, ``length``, ``lost`` (words or
            tokens beyond the encoder's limit) and, if ``labelled``, for each task ``targets/<task>``,
            ``counts/<task>`` (labels present), ``irregular/<task>`` (labels that look like a mistake) and, of a task
            that a teacher teaches, ``places/<task>`` (labels present or missing).

        Raises:
            UserError: For a column that is not there, or a value that cannot be understood; it names the row. Where
                the data set skips bad rows they are missing in the result; with labels it is an error if all are bad.
        """
        self.check(table, labelled, split)
        tasks = self.tasks if labelled else {}
        signature = [
            table._fingerprint,
            self.source.inputs,
            self.source.on_bad_row,
            __version__,
            FORMAT,
            type(self.processor).__qualname__,
            self.processor.signature(),
            self._files(table),
            list(states_of_arrays(table, self.source.input_columns, self.source.root, (ARRAYS,))),
            list(states_of_arrays(table, self._columns_of_pixels(), self.source.root, LABEL_ENDINGS)),
            [
                (task, self.source.labels[task], self._names(task), _settings(encoder))
                for task, encoder in tasks.items()
            ],
        ]
        (raw, json_columns), fingerprint = exact(table), Hasher.hash(signature)
        with followed(), same_environment():
            encoded = made_once(
                fingerprint,
                lambda path: raw.map(
                    self._encode,
                    batched=True,
                    with_indices=True,
                    remove_columns=raw.column_names,
                    fn_kwargs={"json_columns": json_columns, "split": split, "labelled": labelled},
                    cache_file_name=str(path),
                    num_proc=num_encoders(len(raw)),
                    new_fingerprint=fingerprint,
                    desc=f"encode {self.name}/{split}",
                ),
            )
        if labelled and len(encoded) == 0:
            bad = next(self.skipped(table, encoded, split, labelled))
            raise UserError(
                f"data set '{self.name}': no row of split '{split}' is good; {bad.where}: {bad.reason}; fix it"
            )
        return encoded.with_format("numpy")

    def _files(self, table: Dataset) -> Any:
        """What the result depends on beside the table: where files are, and their state."""
        if not (names := self.processor.files & set(self.source.inputs)):
            return None
        root = str(Path(self.source.root).absolute())
        inputs = {name: self.source.inputs[name] for name in sorted(names)}
        columns = list(dict.fromkeys(column for _, column in pairs_of(inputs)))
        values = (value for column in columns for chunk in chunks(table, column) for value in chunk)
        return root, [
            state_of(found) for found in (located(root, value) for value in values) if isinstance(found, Path)
        ]

    def _columns_of_pixels(self) -> list[str]:
        labels = {task: self.source.labels[task] for task, encoder in self.tasks.items() if encoder.level == "maps"}
        return list(dict.fromkeys(column for _, column in pairs_of(labels)))

    def first(self, table: Dataset, number: int) -> dict[str, Sequence[Any]]:
        """The same columns of the good ones among the first rows of a table, without labels."""
        raw, json_columns = exact(table)
        rows = range(min(number, len(table)))
        return self._encode(raw[: len(rows)], list(rows), json_columns, "train", labelled=False)

    def check(self, table: Dataset, labelled: bool = True, split: str = "train") -> None:
        """Raises :class:`UserError` if the table has not the columns; arguments as those of the call."""
        labels = {task: self.source.labels[task] for task in self.tasks} if labelled else {}
        what = f"split '{split}'" if split in ("val", "test") else "the data"
        check_columns(f"data.datasets.{self.name}.inputs", self.source.inputs, table, self.source, what)
        check_columns(f"data.datasets.{self.name}.labels", labels, table, self.source, what)

    def raw_inputs(self, table: Dataset, row: int) -> dict[str, Any]:
        """The raw values of a row's inputs, by the names of the encoder's inputs."""
        raw, json_columns = exact(table.select_columns(self.source.input_columns))
        columns = decoded(raw[row : row + 1], json_columns)
        return {name: raw_values(columns, of)[0] for name, of in self.source.inputs.items()}

    def skipped(self, table: Dataset, encoded: Dataset, split: str, labelled: bool = True) -> Iterator[BadRow]:
        """The rows of a table that are not in what it was encoded to, and why; arguments as those of the call."""
        (raw, json_columns), encode = exact(table), self._encoder(labelled)
        for row in _missing(table, encoded):
            columns = decoded(raw[row : row + 1], json_columns)
            if (bad := columns.get(BAD, [None])[0]) is not None:
                line = BadLine(**json.loads(bad))
                yield BadRow(self.source.where(table, split, row), line.reason, line.text)
                continue
            try:
                encode(columns)
            except UserError as error:
                content = {name: columns[name][0] for name in visible(table)}
                yield BadRow(self.source.where(table, split, row, error.word), str(error), content)

    def refused(self, table: Dataset, encoded: Dataset) -> dict[int, str]:
        """The same of a table without labels: reasons by row."""
        bad = self.skipped(table, encoded, "predict", labelled=False)
        return {row: found.reason for row, found in zip(_missing(table, encoded), bad, strict=True)}

    def _encode(
        self, columns: Columns, rows: list[int], json_columns: Container[str], split: str, labelled: bool
    ) -> dict[str, Sequence[Any]]:
        columns = {**decoded(columns, json_columns), _ROW: rows}
        if BAD in columns:
            columns = _take(columns, [i for i, bad in enumerate(columns[BAD]) if bad is None])
        return self._sift(self._encoder(labelled), columns, split)

    def _sift(self, encode: ExampleEncoder, columns: Columns, split: str) -> dict[str, Sequence[Any]]:
        """Encodes the rows that can be encoded; where they cannot all at once, each half by itself."""
        rows = columns[_ROW]
        if not rows:
            return {"row": []}
        try:
            return {"row": rows, **encode(columns)}
        except UserError as error:
            if len(rows) == 1 and self.source.on_bad_row == "skip":
                return {"row": []}
            where = f"data set '{self.name}', {self._where(columns, split, error.word)}"
            if len(rows) == 1:
                raise UserError(f"{where}, {error}; {self.source.remedy}") from error
            middle = len(rows) // 2
            parts = range(middle), range(middle, len(rows))
            halves = [self._sift(encode, _take(columns, part), split) for part in parts]
            good = [half for half in halves if half["row"]]
            if sum(len(half["row"]) for half in good) == len(rows):
                others = "row" if len(rows) == 2 else f"{len(rows) - 1} rows"
                raise UserError(f"{where}, and the {others} after it: {error}") from error
            return {name: [v for half in good for v in half[name]] for name in (good or halves)[0]}

    def _where(self, columns: Columns, split: str, word: int | None) -> str:
        """Where the first of some rows came from."""
        row = columns[_ROW][0]
        if LINE not in columns:
            return self.source.describe(split, row)
        return self.source.describe(split, row, line=columns[LINE][0], word=word)

    def _encoder(self, labelled: bool) -> ExampleEncoder:
        return ExampleEncoder(self.source, self.processor, self.tasks if labelled else {})

    def _names(self, task: str) -> Mapping[str, str] | None:
        rename = self.source.renaming(task)
        return None if rename is None else rename.names


def check_columns(where: str, mapping: Inputs, table: Dataset, source: DataSource, what: str = "the data") -> None:
    """Raises :class:`UserError` if a mapped column is not in the table, which ``what`` names."""
    known = set(visible(table))
    for name, column in pairs_of(mapping):
        if column not in known:
            raw, json_columns = exact(table.select_columns(visible(table)))
            found = decoded(raw[:_FIRST_ROWS], json_columns)
            rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
            raise UserError(f"{where}.{name}: {what} has no column '{column}'; {source.hint(column, rows)}")


def _missing(table: Dataset, encoded: Dataset) -> list[int]:
    """Numbers of the rows of a table that are not in what it was encoded to."""
    kept = np.zeros(len(table), dtype=bool)
    if len(encoded):
        kept[encoded["row"][:]] = True
    return np.flatnonzero(~kept).tolist()


def _take(columns: Columns, rows: Sequence[int]) -> Columns:
    return {name: [found[i] for i in rows] for name, found in columns.items()}


def _settings(encoder: LabelEncoder) -> Any:
    """All that ``encode`` may depend on: a task's class and plain attributes, not its weights and mode."""
    beside = encoder.beside_labels | {"training"}
    names = [name for name, value in vars(encoder).items() if name[0] != "_" and value is not None]
    settings = {name: getattr(encoder, name) for name in sorted(names) if name not in beside}
    adapted = {name: value for name, value in encoder.adapted().items() if name not in beside}
    return [type(encoder).__module__, type(encoder).__qualname__, adapted, settings]
