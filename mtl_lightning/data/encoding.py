"""From raw columns to encoded ones: inputs by the encoder's processor, labels by the tasks."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from datasets.fingerprint import Hasher

from mtl_lightning import __version__
from mtl_lightning.data.source import DataSource
from mtl_lightning.errors import UserError, did_you_mean


class Processor(Protocol):
    """What the data layer asks of an encoder's processor; see ``mtl_lightning.encoders.InputProcessor``."""

    inputs: tuple[str, ...]

    def encode(self, columns: Mapping[str, Any]) -> dict[str, list[Any]]: ...
    def collate(self, examples: Any) -> dict[str, Any]: ...
    def length(self, example: Mapping[str, Any]) -> int: ...
    def signature(self) -> Any: ...


class LabelEncoder(Protocol):
    """What the data layer asks of a task; see ``mtl_lightning.tasks.Task``."""

    level: Any
    missing: Any

    def encode(self, value: Any) -> Any: ...
    def adapted(self) -> dict[str, Any]: ...


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
        for task, encoder in tasks.items():
            if encoder.level == "tokens" and "tokens" not in source.inputs:
                raise UserError(
                    f"data.datasets.{name}.inputs: task '{task}' labels words, so the data set must map a column to "
                    f"the input `tokens`; it maps {', '.join(source.inputs)}"
                )

    def __call__(self, table: Dataset, split: str, labelled: bool = True) -> Dataset:
        """Encodes a table; the result is cached by content.

        Args:
            table: Raw columns.
            split: Its name, for messages.
            labelled: Whether to encode labels too; they are not needed to predict.

        Returns:
            Columns ``inputs/<name>``, ``length`` and, if ``labelled``, ``targets/<task>`` and ``counts/<task>``.

        Raises:
            UserError: For a column that is not there, or a value that cannot be understood; it names the row.
        """
        tasks = self.tasks if labelled else {}
        check_columns(f"data.datasets.{self.name}.inputs", self.source.inputs, table)
        check_columns(f"data.datasets.{self.name}.labels", {task: self.source.labels[task] for task in tasks}, table)
        signature = [
            table._fingerprint,
            self.source.inputs,
            __version__,
            type(self.processor).__qualname__,
            self.processor.signature(),
            [(task, self.source.labels[task], _settings(encoder)) for task, encoder in tasks.items()],
        ]
        return table.map(
            self._encode,
            batched=True,
            with_indices=True,
            remove_columns=table.column_names,
            fn_kwargs={"split": split, "labelled": labelled},
            new_fingerprint=Hasher.hash(signature),
            desc=f"encode {self.name}/{split}",
        ).with_format("numpy")

    def _encode(
        self, columns: Mapping[str, list[Any]], rows: list[int], split: str, labelled: bool
    ) -> dict[str, list[Any]]:
        try:
            inputs = self.processor.encode({name: columns[column] for name, column in self.source.inputs.items()})
        except UserError:
            self._find_bad_input(columns, rows, split)
            raise
        encoded = {f"inputs/{name}": values for name, values in inputs.items()}
        examples = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
        encoded["length"] = [self.processor.length(example) for example in examples]
        for task, encoder in self.tasks.items() if labelled else ():
            column = columns[self.source.labels[task]]
            targets = [self._encode_label(task, encoder, v, split, row) for v, row in zip(column, rows, strict=True)]
            if encoder.level == "tokens":
                targets = self._fit_words(task, encoder, targets, inputs, split, rows)
            encoded[f"targets/{task}"] = targets
            encoded[f"counts/{task}"] = [count_labels(target, encoder.missing) for target in targets]
        return encoded

    def _encode_label(self, task: str, encoder: LabelEncoder, value: Any, split: str, row: int) -> Any:
        try:
            return encoder.encode(value)
        except UserError as error:
            column = self.source.labels[task]
            raise UserError(f"{self._where(split, row)}, column '{column}' (task '{task}'): {error}") from error

    def _fit_words(
        self,
        task: str,
        encoder: LabelEncoder,
        targets: list[list[int]],
        inputs: Mapping[str, list[Any]],
        split: str,
        rows: list[int],
    ) -> list[list[int]]:
        """Cuts tags to the words that the encoder kept; an example without tags gets missing ones."""
        fitted = []
        for tags, num_words, starts, row in zip(targets, inputs["num_words"], inputs["word_starts"], rows, strict=True):
            if tags and len(tags) != num_words:
                raise UserError(
                    f"{self._where(split, row)}: {len(tags)} tags in column '{self.source.labels[task]}' "
                    f"(task '{task}') for {num_words} words; there must be one a word"
                )
            fitted.append((tags or [encoder.missing] * num_words)[: len(starts)])
        return fitted

    def _find_bad_input(self, columns: Mapping[str, list[Any]], rows: list[int], split: str) -> None:
        for position, row in enumerate(rows):
            try:
                self.processor.encode({n: columns[c][position : position + 1] for n, c in self.source.inputs.items()})
            except UserError as error:
                raise UserError(f"{self._where(split, row)}: {error}") from error

    def _where(self, split: str, row: int) -> str:
        return f"data set '{self.name}', {self.source.describe(split, row)}"


def check_columns(where: str, mapping: Mapping[str, str], table: Dataset) -> None:
    """Raises :class:`UserError` if a mapped column is not in the table."""
    for name, column in mapping.items():
        if column not in table.column_names:
            hint = did_you_mean(column, table.column_names)
            raise UserError(f"{where}.{name}: the data has no column '{column}'; {hint}")


def _settings(encoder: LabelEncoder) -> Any:
    """All that ``encode`` may depend on: a task's class and plain attributes, not its weights and mode."""
    names = [name for name, value in vars(encoder).items() if name[0] != "_" and value is not None]
    settings = {name: getattr(encoder, name) for name in sorted(names) if name != "training"}
    return [type(encoder).__module__, type(encoder).__qualname__, encoder.adapted(), settings]


def count_labels(target: Any, missing: float) -> int:
    """Number of labels present in an encoded label."""
    values = np.asarray(target)
    return int(np.size(values) - np.count_nonzero(np.isnan(values) if missing != missing else values == missing))
