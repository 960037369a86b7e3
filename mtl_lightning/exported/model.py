"""An exported model, which predicts."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.exported.description import Reading, read_description
from mtl_lightning.exported.graph import Graph, NotComputedError
from mtl_lightning.inputs.absent import ABSENT
from mtl_lightning.inputs.meant import not_meant
from mtl_lightning.raw_labels.spans import placed


class Encoded(NamedTuple):
    """Inputs that are ready for the model.

    Attributes:
        reading: How they are read.
        examples: B of them.
        placed_in: Raw values of the input whose words, or choices, predictions are placed in [B]; null: there is none.
    """

    reading: Reading
    examples: Sequence[Mapping[str, Any]]
    placed_in: Sequence[Any] | None


class ExportedModel:
    """Predicts as the checkpoint does that it was exported from.

    Args:
        folder: That ``export --format onnx`` wrote.
        threads: How many compute; null: as many as there are cores.
        spins: Whether threads that have nothing to compute keep their cores busy for a while, to go on sooner; turn it
            off where others need the cores.

    Attributes:
        tasks: Decoders by name; their states say what labels there are.
        inputs: What makes arrays of raw values.
        readings: The ways in which inputs may be given.

    Raises:
        UserError: If the folder is none, or a file in it is missing or another one.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, spins: bool = True) -> None:
        found = read_description(Path(folder))
        self.tasks, self.inputs, self.readings = found.decoders, found.inputs, found.readings
        self._graphs = {name: Graph(Path(folder, name), threads, spins) for name in {r.graph for r in found.readings}}

    def predict(
        self, columns: Mapping[str, Sequence[Any]], batch_size: int = 64, tasks: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Predictions on raw inputs; see ``MultiTaskModule.predict``.

        Args:
            columns: Values of each input, such as ``{"text": ["some jazz, please", "will it rain?"]}``.
            batch_size: How many examples are computed at once.
            tasks: Names of the tasks to predict; null: all that the inputs suffice for, but those that
                were learnt from other kinds of inputs alone.

        Raises:
            UserError: If a value is no input, or the model predicts no such task of such inputs.
        """
        if batch_size < 1:
            raise UserError(f"`batch_size` must be at least 1, found {batch_size}")
        return self.predict_encoded(self.encode(columns, tasks), batch_size, tasks)

    def encode(self, columns: Mapping[str, Sequence[Any]], tasks: Sequence[str] | None = None) -> Encoded:
        """Raw inputs, ready for the model; arguments as those of ``predict``.

        Raises:
            UserError: As ``predict``.
        """
        reading = self.reading_of(columns, tasks)
        number = len(next(iter(columns.values())))
        absent: dict[str, list[Any]] = {name: [[]] * number for name in reading.found if name not in columns}
        encoded = self.inputs.encode({**columns, **absent})
        examples = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
        placed_in = next((columns[name] for name in self.inputs.placed_in if name in columns), None)
        return Encoded(reading, examples, placed_in)

    def predict_encoded(
        self, encoded: Encoded, batch_size: int = 64, tasks: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Predictions of what ``encode`` returned.

        Args:
            encoded: For the same tasks.
            batch_size: As of ``predict``.
            tasks: As of ``predict``.
        """
        predicted: list[dict[str, Any]] = []
        for first in range(0, len(encoded.examples), batch_size):
            predicted += self._batch(encoded.reading, encoded.examples[first : first + batch_size], tasks)
        return [self._placed(each, encoded.placed_in, row) for row, each in enumerate(predicted)]

    def reading_of(self, inputs: Collection[str], tasks: Sequence[str] | None = None) -> Reading:
        """How inputs of these names are read.

        Args:
            inputs: Names.
            tasks: Names of those that are to be predicted; null: all.

        Raises:
            UserError: If they are not read together, or do not suffice for a task.
        """
        for task in tasks or ():
            if task not in self.tasks:
                raise UserError(f"unknown task {shown(task)}; {did_you_mean(str(task), self.tasks)}")
        given, optional = set(inputs), self.inputs.optional
        fitting = [each for each in self.readings if set(each.columns) - optional <= given <= set(each.columns)]
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

    def _batch(
        self, reading: Reading, examples: Sequence[Mapping[str, Any]], tasks: Sequence[str] | None
    ) -> list[dict[str, Any]]:
        names = self._meant(reading) if tasks is None else list(tasks)
        for name, task in reading.found.items():
            if task is not None and names != [task]:
                spans = [placed(row[task]["spans"]) for row in self._run(reading, examples, [task])]
                examples = [{**each, name: of_it} for each, of_it in zip(examples, spans, strict=True)]
        return self._run(reading, examples, names)

    def _meant(self, reading: Reading) -> list[str]:
        ways = [(each.columns, each.labels) for each in self.readings]
        left_out = not_meant(self.inputs, reading.columns, ways)
        return [task for task in reading.outputs if task not in left_out]

    def _run(
        self, reading: Reading, examples: Sequence[Mapping[str, Any]], tasks: Sequence[str]
    ) -> list[dict[str, Any]]:
        outputs = {name: reading.outputs[name] for name in tasks}
        wanted = [output for of_task in outputs.values() for output in of_task.values()]
        graph, arrays = self._graphs[reading.graph], self.inputs.collate(examples)
        if ABSENT in arrays and arrays[ABSENT].any() and ABSENT not in graph.inputs:
            names = ", ".join(reading.columns)
            raise UserError(f"the model was exported when each example had to have all of {names}; export it again")
        found = graph.run(arrays, wanted)
        try:
            decoded = {
                name: self.tasks[name].decode({ours: found[theirs] for ours, theirs in of_task.items()})
                for name, of_task in outputs.items()
            }
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = f"{reading.graph} does not compute what its description says"
            raise NotComputedError(f"{said}: {' '.join(str(error).split())[:200]}; export the model again") from error
        return [dict(zip(decoded, each, strict=True)) for each in zip(*decoded.values(), strict=True)]

    def _placed(self, predicted: dict[str, Any], values: Sequence[Any] | None, row: int) -> dict[str, Any]:
        words = None if values is None else self.inputs.words(values[row])
        if words is None:
            return predicted
        return {name: self.tasks[name].place(each, words) for name, each in predicted.items()}
