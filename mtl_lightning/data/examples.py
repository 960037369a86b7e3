"""Encodes examples: inputs by the encoder's processor, labels by the tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.image_files import LABEL_ENDINGS
from mtl_lightning.paths import located, located_file
from mtl_lightning.rows.columns import at_fault, called, raw_values

Columns = Mapping[str, Sequence[Any]]
"""Raw values by column, each a list of N."""

FORMAT = 5
"""Number of the format of encoded tables; a cache keeps them, and the package's version changes with releases only.

Raise it with every change after which :class:`ExampleEncoder` or :class:`.encoding.Encoding` makes other columns, or
other values in them, of the same rows; a processor's or a task's own changes belong in its signature or settings.
"""


class Processor(Protocol):
    """What the data layer asks of an encoder's processor; see ``mtl_lightning.encoders.InputProcessor``."""

    inputs: tuple[str, ...]
    files: frozenset[str]
    array_files: frozenset[str]
    looked_up: frozenset[str]

    @property
    def packs(self) -> bool: ...
    def check(self, inputs: Any) -> None: ...
    def encode(self, columns: Columns) -> dict[str, list[Any]]: ...
    def collate_columns(self, columns: Columns, keys: Sequence[Sequence[int]] | None = None) -> dict[str, Any]: ...
    def collate(self, examples: Any) -> dict[str, Any]: ...
    def varied(self, example: Mapping[str, Any], key: Sequence[int]) -> Mapping[str, Any]: ...
    def moved(self, example: Mapping[str, Any], key: Sequence[int] | None) -> Any: ...
    def length(self, example: Mapping[str, Any]) -> int: ...
    def unknown(self, columns: Columns) -> Mapping[tuple[str, int], Any]: ...
    def cut_off(self, values: Mapping[str, Any]) -> str: ...
    def signature(self) -> Any: ...


class LabelEncoder(Protocol):
    """What the data layer asks of a task; see ``mtl_lightning.tasks.Task``."""

    level: Any
    missing: Any
    counted: bool
    beside_labels: frozenset[str]
    irregular: str

    required_inputs: tuple[str, ...]
    is_taught: bool

    def encode(self, value: Any) -> Any: ...
    def fit(self, target: Any, example: Mapping[str, Any]) -> Any: ...
    def count(self, target: Any) -> int: ...
    def num_places(self, target: Any) -> int: ...
    def check(self, value: Any) -> None: ...
    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any: ...
    def check_names(self, names: Sequence[str]) -> None: ...
    def count_irregular(self, target: Any) -> int: ...
    def adapted(self) -> dict[str, Any]: ...


class ExampleEncoder:
    """Encodes columns of raw values.

    Args:
        source: Says which column is which input or label, and what labels mean.
        processor: The encoder's processor.
        tasks: The tasks to encode labels of, by name.
    """

    def __init__(self, source: DataSource, processor: Processor, tasks: Mapping[str, LabelEncoder]) -> None:
        self.source = source
        self.processor = processor
        self.tasks = tasks

    def __call__(self, columns: Columns) -> dict[str, list[Any]]:
        """Encodes N examples.

        Returns:
            Columns ``inputs/<name>``, ``length``, ``lost`` (words or tokens beyond the encoder's limit), ``note`` where
            the processor makes some, and, for each task, ``targets/<task>``, ``counts/<task>`` and
            ``irregular/<task>``, and ``places/<task>`` of one that a teacher teaches; see :class:`Encoding`.

        Raises:
            UserError: For a value that cannot be understood; it names the column.
        """
        labels = {task: self._encode_labels(task, columns) for task in self.tasks}  # first: a bad one costs little then
        inputs = self._encode_inputs(columns)
        lost, notes = inputs.pop("lost", None), inputs.pop("note", None)
        encoded = {f"inputs/{name}": values for name, values in inputs.items()}
        examples = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
        encoded["length"] = [self.processor.length(example) for example in examples]
        encoded["lost"] = [0] * len(examples) if lost is None else lost
        encoded |= {} if notes is None else {"note": notes}
        for task, encoder in self.tasks.items():
            targets = self._fit(task, labels[task], examples)
            encoded[f"targets/{task}"] = targets
            encoded[f"counts/{task}"] = [encoder.count(target) for target in targets]
            encoded[f"irregular/{task}"] = [encoder.count_irregular(target) for target in targets]
            if encoder.is_taught:
                encoded[f"places/{task}"] = [encoder.num_places(target) for target in targets]
        return encoded

    def _encode_inputs(self, columns: Columns) -> dict[str, list[Any]]:
        values = {name: raw_values(columns, of) for name, of in self.source.inputs.items()}
        for name in self.processor.files & values.keys():
            values[name] = [located(self.source.root, value) for value in values[name]]
        for name in self.processor.array_files & values.keys():
            values[name] = [located_file(self.source.root, value) for value in values[name]]
        try:
            return self.processor.encode(values)
        except UserError as error:
            raise UserError(f"{at_fault(self.source.inputs, error)}: {error}", error.word) from error

    def _encode_labels(self, task: str, columns: Columns) -> list[Any]:
        encoder, values = self.tasks[task], raw_values(columns, self.source.labels[task])
        try:
            return [encoder.encode(relabelled(self.source, task, encoder, value)) for value in values]
        except UserError as error:
            raise UserError(f"{self._column(task)}: {error}", error.word) from error

    def _fit(self, task: str, targets: Sequence[Any], examples: Sequence[Mapping[str, Any]]) -> list[Any]:
        try:
            return [self.tasks[task].fit(*each) for each in zip(targets, examples, strict=True)]
        except UserError as error:
            raise UserError(f"{self._column(task)}: {error}", error.word) from error

    def _column(self, task: str) -> str:
        return f"{called(self.source.labels[task])} (task '{task}')"


def relabelled(source: DataSource, task: str, encoder: LabelEncoder, value: Any) -> Any:
    """A raw label in the task's own names; of pixels, the path of a file starts from the root of its data set."""
    if encoder.level == "maps":
        value = located_file(source.root, value, LABEL_ENDINGS)
    rename = source.renaming(task)
    return value if rename is None else encoder.relabel(value, rename)
