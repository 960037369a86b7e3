"""The lines that a prediction writes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.readers.tables import decoded, exact
from mtl_lightning.inputs.words import Words
from mtl_lightning.prediction_images import Drawing, PredictionImages
from mtl_lightning.strict_json import is_finite, to_json
from mtl_lightning.tasks import Task
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.training.prediction import placed, placers

_LOG = logging.getLogger(__name__)


class PredictionLines:
    """What an input holds, beside what was predicted of it, as JSON.

    Args:
        data: With the inputs, encoded.
        model: What predicts.
        images: Folder for predictions that are images; null: their numbers stand in the lines.
    """

    def __init__(self, data: MultiTaskDataModule, model: MultiTaskModule, images: str | None = None) -> None:
        assert data.predict_source is not None, "there is something to predict"
        source, table = data.predict_source
        self.reasons = data.refused
        self.num_inputs = len(table)
        self._raw, self._json_columns = exact(table.select_columns(written(table)))
        tasks = {name: model.tasks[name] for name in model.asked or model.tasks}
        self._placers = placers(tasks)
        self._images = None if images is None else PredictionImages(images, tasks, _drawing(tasks))
        self._processor = model.encoder.processor
        places = any(task.places for task in tasks.values())
        named = [source.inputs[name] for name in self._processor.placed_in if name in source.inputs]
        self._placed_in = named[0] if places and named else None
        self._warned = False
        for name in {"predictions", "reason"} & set(self._raw.column_names):
            _LOG.warning(f"the output has a '{name}' of its own, which replaces the input's column of that name")

    def predicted(self, rows: Sequence[int], predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        """Lines of inputs with their predictions.

        Args:
            rows: Numbers of the inputs, B of them.
            predictions: By task, of each of them.
        """
        together = zip(rows, self._inputs(rows), predictions, strict=True)
        return [
            self._line(row, found, placed(self._placers, predicted, self._words(found)))
            for row, found, predicted in together
        ]

    def refused(self, row: int) -> str:
        """The line of an input that cannot be predicted on."""
        (found,) = self._inputs([row])
        return to_json({**found, "predictions": None, "reason": self.reasons[row]})

    def _inputs(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        if not rows:
            return []
        columns = decoded(self._raw[list(rows)], self._json_columns)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _words(self, found: Mapping[str, Any]) -> Words | None:
        columns = self._placed_in
        if columns is None:
            return None
        value = found[columns] if isinstance(columns, str) else tuple(found[column] for column in columns)
        return self._processor.words(value)

    def _line(self, row: int, found: dict[str, Any], predicted: dict[str, Any]) -> str:
        if not (self._warned or is_finite(predicted)):
            self._warned = True
            _LOG.warning(
                f"the prediction of input {row + 1} is not a finite number; `null` stands for it, here and below; "
                "has the training diverged?"
            )
        kept = predicted if self._images is None else self._images.kept(row, predicted)
        return to_json({**found, "predictions": kept})


def written(table: Dataset) -> list[str]:
    """The columns that lines repeat: not those of files' contents, unless there are no others."""
    names = visible(table)
    files = [name for name in names if getattr(table.features[name], "dtype", "") in ("binary", "large_binary")]
    return [name for name in names if name not in files] or names


def _drawing(tasks: Mapping[str, Task]) -> dict[str, Drawing]:
    return {name: task.drawn for name, task in tasks.items() if task.draws}
