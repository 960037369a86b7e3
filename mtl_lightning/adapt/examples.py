"""The few examples that a task is learnt from."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import Tensor

from mtl_lightning.data import Batch, FileSource
from mtl_lightning.data.collation import StepDataset, moves_of_labels
from mtl_lightning.data.columns import integers
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.findings import report, without_notes
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.sampler import Rows
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.rows.columns import pairs_of
from mtl_lightning.tasks import Task
from mtl_lightning.training.from_checkpoint import made
from mtl_lightning.trust.imports import Imports

Config = dict[str, Any]

_AT_ONCE = 256
"""Examples that the encoder reads at once."""

_OF_ITS_FILES = ("files", "root", "split", "streaming", "label_maps", "written_by", "mosaic")
"""Arguments of a data set that say nothing of another file."""


class Table(NamedTuple):
    """A file of labelled examples.

    Attributes:
        config: The data set that it is, as a configuration describes it.
        source: The data set.
        rows: Its rows, raw.
    """

    config: Config
    source: FileSource
    rows: Dataset


def read(path: str, task: str, label: str, kind: type[Task], datasets: Mapping[str, Config], imports: Imports) -> Table:
    """Reads a file of labelled examples as the first data set of a model is read whose columns it has.

    Data sets without the inputs that the task reads are passed over, if there are others.

    Args:
        path: The file.
        task: Whose labels it has.
        label: The column of labels, or several, separated by commas.
        kind: Class of the task.
        datasets: Those that the model was trained on, as its configuration describes them.
        imports: What these may import.

    Raises:
        UserError: If the file cannot be read, or lacks the columns.
    """
    needed: dict[str, None] = {}
    found: list[str] = []
    of_label = [part.strip() for part in label.split(",")]
    labels = {task: of_label if len(of_label) > 1 else label}
    for each in [each for each in datasets.values() if _suffices(each, kind)] or datasets.values():
        arguments = deepcopy(each["init_args"])
        of_text = {} if not _is_file(each) else {k: v for k, v in arguments.items() if k not in _OF_ITS_FILES}
        place = {"files": {"train": Path(path).name}, "root": str(Path(path).parent)}
        arguments = {**of_text, "inputs": arguments["inputs"], "labels": labels, **place}
        source = made(FileSource, arguments, Path(path), imports)
        rows = source.load()["train"]
        assert isinstance(rows, Dataset), "no stream"
        found, columns = visible(rows), [name for _, name in pairs_of(source.inputs)]
        if set(columns) <= set(found):
            if lacking := [column for column in of_label if column not in found]:
                raise UserError(f"--label: {path} has no column '{lacking[0]}'; {did_you_mean(lacking[0], found)}")
            config = {"class_path": f"{FileSource.__module__}.{FileSource.__qualname__}", "init_args": arguments}
            return Table(config, source, rows)
        needed[" and ".join(f"'{name}'" for name in columns)] = None
    raise UserError(f"--data: {path} has the columns {', '.join(found)}; the model reads {' or '.join(needed)}")


class Examples:
    """Labelled examples of one task, encoded. What is odd about them is logged.

    Args:
        encoding: Of their file, with the task.
        rows: Raw.
        folder: Where rows that are skipped are written down.

    Attributes:
        batch: All of them.
        targets: Their encoded labels.
        labelled: Numbers of those that have a label.

    Raises:
        UserError: If a row cannot be understood; it names the line.
    """

    def __init__(self, encoding: Encoding, rows: Dataset, folder: Path) -> None:
        ((name, task),) = encoding.tasks.items()
        encoded = encoding(rows, "train")
        report(encoding, rows, encoded, "train", str(folder))
        read = StepDataset(
            {name: without_notes(encoded)}, encoding.processor, {name: task.missing}, moves_of_labels(encoding.tasks)
        )
        self.batch: Batch = read[{name: Rows(list(range(len(encoded))), {name: 1.0})}][name]
        self.targets: Tensor = self.batch.targets[name]
        counts = integers(encoded, [f"counts/{name}"])[f"counts/{name}"]
        self.labelled: list[int] = counts.nonzero()[0].tolist()
        self._has_classes = self.targets.ndim == 1 and not self.targets.is_floating_point()

    def __len__(self) -> int:
        return len(self.batch.examples)

    def by_label(self) -> list[list[int]]:
        """Numbers of the examples of each label that occurs; all together where a label is no class."""
        if not self._has_classes:
            return [self.labelled]
        found: dict[int, list[int]] = {}
        for row in self.labelled:
            found.setdefault(int(self.targets[row]), []).append(row)
        return [found[label] for label in sorted(found)]

    def pieces(self, rows: Sequence[int]) -> Iterator[dict[str, Tensor]]:
        """The encoder's inputs of some examples, a number at once; where examples are several texts, of all at once."""
        inputs = self.batch.inputs
        if "sequences" in inputs:
            yield inputs
            return
        for first in range(0, len(rows), _AT_ONCE):
            index = list(rows[first : first + _AT_ONCE])
            yield {name: values[index] for name, values in inputs.items()}

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
            most: How many parts at most, at least 2; where there are no more examples, each is left out by itself.
            generator: Of how they are divided.

        Returns:
            Nothing where no label has two examples.
        """
        chosen = set(rows)
        groups = [[row for row in of if row in chosen] for of in self.by_label()]
        dealt: list[int] = []
        for group in groups:
            shuffled = [group[place] for place in torch.randperm(len(group), generator=generator).tolist()]
            dealt += shuffled if len(shuffled) > 1 else []  # dealt in turn, no two neighbours are in the same part
        number = min(most, len(dealt))
        return [dealt[first::number] for first in range(number)]


def _suffices(config: Config, kind: type[Task]) -> bool:
    """Whether a data set has the inputs that a task reads."""
    needed = kind.required_inputs or (("tokens",) if kind.level == "tokens" else ())
    return all(set(each.split("|")) & set(config["init_args"]["inputs"]) for each in needed)


def _is_file(config: Config) -> bool:
    return str(config.get("class_path", "")).rpartition(".")[2] == FileSource.__name__
