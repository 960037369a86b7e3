"""Where examples come from, and what their columns mean."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset

from mtl_lightning.data.readers.bad_rows import REMEDY, OnBadRow
from mtl_lightning.data.sources.label_maps import LabelMap, Renaming, read_label_map
from mtl_lightning.data.streams.settings import Streaming
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.names import checked_name
from mtl_lightning.rows.bad_lines import LINE
from mtl_lightning.rows.columns import Inputs, Labels, pairs_of
from mtl_lightning.rows.hints import hint_of_column

SPLITS = ("train", "val", "test")

LabelMaps = Mapping[str, str | LabelMap]
"""Label map of each task, or the path of its file."""


def check_names(datasets: Iterable[str]) -> None:
    """Raises :class:`UserError` if there is no data set, or one whose name no log and no file should have."""
    if not (names := list(datasets)):
        raise UserError("data.datasets is empty; name at least one data set")
    for name in names:
        checked_name("data.datasets", name)


class DataSource(ABC):
    """One data set: tables of examples by split, mapped to the encoder's inputs and to tasks.

    Args:
        inputs: Column of each input of the encoder, say ``{text: sentence}``. Several columns make one input: numbers,
            and lists of numbers, stand one after another (``{features: [age, height]}``), texts are joined by a space.
            A dotted name is a value inside an object (``doc.text``, ``answers.0.text``); of a list of objects, that of
            each (``words.form``).
        labels: Column of each task that this data set labels, say ``{intent: intent, slots: tags}``. Labels may be
            missing in some rows. Some tasks read several columns, say ``{tree: [head, relation]}``.
        label_maps: By task, for each of its labels the data set's labels that mean it, say ``{emotion: {joy: [joy,
            relief], anger: [anger]}}``; or the path of a JSON or YAML file that holds this for the task. Of BIO tags
            the type is mapped and the prefix kept; a type mapped to ``O`` marks no span.
        on_bad_row: ``error``: a row that cannot be understood ends the run. ``skip``: it is left out, counted, and
            written with the reason to ``skipped_rows/<data set>-<split>.jsonl`` in the run's folder.

    Attributes:
        remedy: What a message about a row advises.
        streaming: How the training split is read, where it is a stream; null: it is a table.
        root: Folder that the paths in columns start from, say those of images.
    """

    remedy = REMEDY
    root: str = "."
    streaming: Streaming | None = None

    def __init__(
        self,
        inputs: Inputs,
        labels: Labels,
        label_maps: LabelMaps | None = None,
        on_bad_row: OnBadRow = "error",
    ) -> None:
        if not inputs:
            raise UserError("`inputs` is empty; map at least one input of the encoder to a column")
        if on_bad_row not in ("error", "skip"):
            raise UserError(f"`on_bad_row` must be `error` or `skip`, found {on_bad_row!r}")
        _check_columns("inputs", inputs)
        _check_columns("labels", labels)
        self.inputs = dict(inputs)
        self.labels = dict(labels)
        self.label_maps = dict(label_maps or {})
        self.on_bad_row = on_bad_row
        self._renamings: dict[str, Renaming] = {}
        for task, label_map in self.label_maps.items():
            if task not in self.labels:
                hint = did_you_mean(task, self.labels)
                raise UserError(f"`label_maps` names the task '{task}', which `labels` does not; {hint}")
            if not isinstance(label_map, str):
                self.renaming(task)

    @abstractmethod
    def load(self) -> Mapping[str, Dataset | IterableDataset]:
        """Tables by split, some of ``train``, ``val`` and ``test``; raw columns, in the order of the source.

        ``train`` may be a stream instead, if ``streaming`` says how it is read.
        """

    def check_files(self) -> None:  # noqa: B027 - many have none
        """Raises :class:`UserError` if files are missing that it reads; reads none."""

    @property
    def input_columns(self) -> list[str]:
        """Names of the columns of all inputs."""
        return list(dict.fromkeys(column for _, column in pairs_of(self.inputs)))

    @property
    def label_columns(self) -> list[str]:
        """Names of the columns of all labels."""
        return list(dict.fromkeys(column for _, column in pairs_of(self.labels)))

    def _nested(self, more: Sequence[str]) -> tuple[str, ...]:
        """Names of columns that may be values inside objects, ``more`` among them."""
        return tuple(sorted({name for name in [*self.input_columns, *self.label_columns, *more] if "." in name}))

    def hint(self, column: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """The hint that follows the name of a column that is not there.

        Args:
            column: Its name.
            rows: Some rows, by column.
        """
        return hint_of_column(column, rows)

    def keep_tasks(self, tasks: Collection[str]) -> None:
        """Forgets the labels of all other tasks."""
        self.labels = {task: column for task, column in self.labels.items() if task in tasks}
        self.label_maps = {task: label_map for task, label_map in self.label_maps.items() if task in tasks}

    def describe(self, split: str, row: int, line: int | None = None, word: int | None = None) -> str:
        """Where a row came from, for messages about it.

        Args:
            split: Name of the split.
            row: Number of the row in the table of the split.
            line: What the column ``__line__`` says, if the table has one.
            word: Position of the word in question in the row's list of words.
        """
        return f"split '{split}', row {row + 1}"

    def where(self, table: Dataset, split: str, row: int, word: int | None = None) -> str:
        """The same, for a row of a table that :meth:`load` returned."""
        if LINE not in table.column_names:
            return self.describe(split, row)
        return self.describe(split, row, line=table[LINE][row], word=word)

    def renaming(self, task: str) -> Renaming | None:
        """What maps the labels of a task, or None. A file is read here: to predict, no data set's files are needed."""
        label_map = self.label_maps.get(task)
        if label_map is not None and task not in self._renamings:
            where = f"label_maps.{task}"
            found = read_label_map(Path(label_map), where) if isinstance(label_map, str) else label_map
            self._renamings[task] = Renaming(found, where)
        return self._renamings.get(task)


def _check_columns(key: str, mapping: Inputs) -> None:
    for name, columns in mapping.items():
        if not columns or (isinstance(columns, list) and len(set(columns)) < len(columns)):
            raise UserError(f"`{key}.{name}` must name a column, or several different ones, found {columns!r}")
