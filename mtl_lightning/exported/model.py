"""An exported model, which predicts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.exported.description import Reading, read_description
from mtl_lightning.exported.graph import Graph


class ExportedModel:
    """Predicts as the checkpoint does that it was exported from.

    Args:
        folder: That ``export --format onnx`` wrote.
        threads: How many compute; null: as many as there are cores.

    Attributes:
        tasks: Decoders by name; their states say what labels there are.
        inputs: What makes arrays of raw values.
        readings: The ways in which inputs may be given.

    Raises:
        UserError: If the folder is none, or a file in it is missing or another one.
    """

    def __init__(self, folder: str | Path, threads: int | None = None) -> None:
        found = read_description(Path(folder))
        self.tasks, self.inputs, self.readings = found.decoders, found.inputs, found.readings
        self._graphs = {name: Graph(Path(folder, name), threads) for name in {r.graph for r in found.readings}}

    def predict(
        self, columns: Mapping[str, Sequence[Any]], batch_size: int = 64, tasks: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Predictions on raw inputs; see ``MultiTaskModule.predict``.

        Args:
            columns: Values of each input, such as ``{"text": ["some jazz, please", "will it rain?"]}``.
            batch_size: How many examples are computed at once.
            tasks: Names of the tasks to predict; null: all that the inputs suffice for.

        Raises:
            UserError: If a value is no input, or the model predicts no such task of such inputs.
        """
        if batch_size < 1:
            raise UserError(f"`batch_size` must be at least 1, found {batch_size}")
        reading = self.reading_of(columns, tasks)
        return [found for part in self._batches(reading, columns, batch_size, tasks) for found in part]

    def reading_of(self, inputs: Mapping[str, Any], tasks: Sequence[str] | None = None) -> Reading:
        """How inputs of these names are read.

        Args:
            inputs: By name.
            tasks: Names of those that are to be predicted; null: all.

        Raises:
            UserError: If they are not read together, or do not suffice for a task.
        """
        for task in tasks or ():
            if task not in self.tasks:
                raise UserError(f"unknown task {shown(task)}; {did_you_mean(str(task), self.tasks)}")
        fitting = [reading for reading in self.readings if set(reading.columns) == set(inputs)]
        if not fitting:
            known = " or ".join(dict.fromkeys(", ".join(reading.columns) for reading in self.readings))
            raise UserError(f"the model reads {known}; found {', '.join(inputs) or 'nothing'}")
        wanted = set(tasks or ())
        for reading in fitting:
            if wanted <= set(reading.outputs):
                return reading
        missing = next(task for task in tasks or () if task not in fitting[0].outputs)
        raise UserError(f"task '{missing}' is not predicted of {', '.join(inputs)}")

    def open(self, reading: Reading) -> None:
        """Makes ready for inputs that are read so, which is done with the first of them otherwise.

        Raises:
            UserError: If onnxruntime is not installed, or cannot read the model.
        """
        self._graphs[reading.graph].open()

    def _batches(
        self, reading: Reading, columns: Mapping[str, Sequence[Any]], size: int, tasks: Sequence[str] | None
    ) -> Iterator[list[dict[str, Any]]]:
        names = list(reading.outputs) if tasks is None else list(tasks)
        encoded = self.inputs.encode(columns)
        rows = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        placed_in = next((columns[name] for name in self.inputs.placed_in if name in columns), None)
        outputs = {name: reading.outputs[name] for name in names}
        wanted = [output for of_task in outputs.values() for output in of_task.values()]
        for first in range(0, len(rows), size):
            found = self._graphs[reading.graph].run(self.inputs.collate(rows[first : first + size]), wanted)
            decoded = {
                name: self.tasks[name].decode({ours: found[theirs] for ours, theirs in of_task.items()})
                for name, of_task in outputs.items()
            }
            together = [dict(zip(decoded, each, strict=True)) for each in zip(*decoded.values(), strict=True)]
            yield [self._placed(row, placed_in, first + number) for number, row in enumerate(together)]

    def _placed(self, predicted: dict[str, Any], values: Sequence[Any] | None, row: int) -> dict[str, Any]:
        words = None if values is None else self.inputs.words(values[row])
        if words is None:
            return predicted
        return {name: self.tasks[name].place(each, words) for name, each in predicted.items()}
