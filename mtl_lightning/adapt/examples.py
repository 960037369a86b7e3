"""The few examples that a task is learnt from."""

from argparse import ArgumentError
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from datasets import Dataset
from jsonargparse import ArgumentParser
from torch import Tensor

from mtl_lightning.data import Batch, DataSource, FileSource
from mtl_lightning.data.collation import StepDataset, moves_of_labels
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.sampler import Rows
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.rows.columns import pairs_of
from mtl_lightning.tasks import Task

Config = dict[str, Any]

_PATH = f"{FileSource.__module__}.{FileSource.__qualname__}"
_OF_ITS_FILES = ("files", "root", "split", "streaming", "label_maps", "written_by", "mosaic")
"""Arguments of a data set that say nothing of another file."""


def described(path: str, task: str, label: str, kind: type[Task], datasets: Mapping[str, Config]) -> Config:
    """A file of labelled examples as a data set, read as the first data set of a model is whose columns it has.

    Data sets without the inputs that the task reads are passed over, if there are others.

    Args:
        path: The file.
        task: Whose labels it has.
        label: The column of labels, or several, separated by commas.
        kind: Class of the task.
        datasets: Those that the model was trained on, as its configuration describes them.

    Raises:
        UserError: If the file cannot be read, or lacks the columns.
    """
    needed: dict[str, None] = {}
    found: list[str] = []
    of_label = [part.strip() for part in label.split(",")]
    for each in [each for each in datasets.values() if _suffices(each, kind)] or datasets.values():
        arguments = deepcopy(each.get("init_args", {}))
        own = {"inputs"} if not _is_file(each) else arguments.keys() - {*_OF_ITS_FILES, "labels"}
        settings = {key: arguments[key] for key in own}
        labels = {task: of_label if len(of_label) > 1 else label}
        config = {"class_path": _PATH, "init_args": {**settings, "files": {"train": path}, "labels": labels}}
        source = source_of(config)
        columns = [name for _, name in pairs_of(source.inputs)]
        found = visible(source.load()["train"])
        if set(columns) <= set(found):
            if lacking := [column for column in of_label if column not in found]:
                raise UserError(f"--label: {path} has no column '{lacking[0]}'; {did_you_mean(lacking[0], found)}")
            return config
        needed[" and ".join(f"'{name}'" for name in columns)] = None
    raise UserError(f"--data: {path} has the columns {', '.join(found)}; the model reads {' or '.join(needed)}")


def source_of(config: Config) -> DataSource:
    """The data set that a configuration describes.

    Raises:
        UserError: If it does not.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=DataSource)
    try:
        found: DataSource = parser.instantiate(parser.parse_object({"it": config})).it
    except (ArgumentError, ValueError) as error:
        raise UserError(f"--data: {' '.join(str(error).split())[:400]}") from error
    return found


class Examples:
    """Labelled examples of one task, encoded.

    Args:
        source: Where they are.
        name: Of the task.
        task: The :class:`.Task`, which knows its labels.
        processor: The encoder's.

    Attributes:
        batch: All of them.

    Raises:
        UserError: If a row cannot be understood; it names the line.
    """

    def __init__(self, source: DataSource, name: str, task: Any, processor: Any) -> None:
        encoding, table = Encoding(name, source, processor, {name: task}), source.load()["train"]
        assert isinstance(table, Dataset), "no stream"
        encoded = encoding(table, "train")
        columns = [each for each in encoded.column_names if not each.startswith(("lost", "irregular", "places"))]
        read = StepDataset(
            {name: encoded.select_columns(columns)}, processor, {name: task.missing}, moves_of_labels({name: task})
        )
        number = len(encoded)
        self.batch: Batch = read[{name: Rows(list(range(number)), {name: 1.0})}][name]
        self.targets: Tensor = self.batch.targets[name]
        self._has_classes = self.targets.ndim == 1 and not self.targets.is_floating_point()

    def __len__(self) -> int:
        return len(self.batch.examples)

    def by_label(self) -> list[list[int]]:
        """Numbers of the examples of each label that occurs; all together where a label is no class."""
        if not self._has_classes:
            return [list(range(len(self)))]
        found: dict[int, list[int]] = {}
        for row, label in enumerate(self.targets.tolist()):
            if label >= 0:
                found.setdefault(label, []).append(row)
        return [found[label] for label in sorted(found)]

    def draw(self, number: int, generator: torch.Generator) -> list[int]:
        """So many examples of each label, at random, without repetition."""
        found: list[int] = []
        for rows in self.by_label():
            found += [rows[place] for place in torch.randperm(len(rows), generator=generator)[:number].tolist()]
        return sorted(found)

    def folds(self, rows: Sequence[int], most: int, generator: torch.Generator) -> list[list[int]]:
        """Parts of some examples, each to be left out in turn; no label is left out whole.

        Args:
            rows: Their numbers.
            most: How many parts at most; where that is as many as there are examples, each is left out by itself.
            generator: Of how they are divided.

        Returns:
            Nothing where no label has two examples.
        """
        chosen = set(rows)
        groups = [[row for row in of if row in chosen] for of in self.by_label()]
        dealt: list[int] = []
        for group in groups:
            shuffled = [group[place] for place in torch.randperm(len(group), generator=generator).tolist()]
            dealt += shuffled if len(shuffled) > 1 else []
        number = min(most, len(dealt))
        parts = [dealt[first::number] for first in range(number)]
        whole = [set(group) for group in groups if len(group) > 1]
        return [part for part in parts if not any(group <= set(part) for group in whole)]


def _suffices(config: Config, kind: type[Task]) -> bool:
    """Whether a data set has the inputs that a task reads."""
    needed = kind.required_inputs or (("tokens",) if kind.level == "tokens" else ())
    return all(set(each.split("|")) & set(config["init_args"]["inputs"]) for each in needed)


def _is_file(config: Config) -> bool:
    return str(config.get("class_path", "")).rpartition(".")[2] == FileSource.__name__
