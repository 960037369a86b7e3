"""The lines that ``predict --model`` writes, which are those of ``predict --ckpt_path``."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_lightning.decoding.pixels import PixelDecoder
from mtl_lightning.errors import UserError
from mtl_lightning.exported.graph import NotComputedError
from mtl_lightning.exported.model import ExportedModel
from mtl_lightning.exported.rows import InputFile, Row
from mtl_lightning.paths import located, located_file
from mtl_lightning.prediction_images import PredictionImages
from mtl_lightning.rows.columns import at_fault, pairs_of, raw_values
from mtl_lightning.strict_json import is_finite, to_json

_LOG = logging.getLogger(__name__)


class Lines:
    """What a file holds, beside what is predicted of it, as JSON.

    Args:
        model: What predicts.
        file: Of inputs.
        tasks: Names of those to predict; null: all.
        images: Folder for predictions that are images; null: they are numbers in the lines.
    """

    def __init__(
        self, model: ExportedModel, file: InputFile, tasks: Sequence[str] | None, images: str | None = None
    ) -> None:
        decoders = {name: each for name, each in model.tasks.items() if tasks is None or name in tasks}
        drawing = {name: each.drawn for name, each in decoders.items() if isinstance(each, PixelDecoder)}
        self._images = None if images is None else PredictionImages(images, decoders, drawing)
        self._model, self._file, self._tasks = model, file, tasks
        self._num_rows = self._num_refused = self._num_cut = self._num_lost = 0
        self._first_refused = self._first_reason = self._first_cut = ""
        self._warned = False
        for name in {"predictions", "reason"}.intersection(file.columns):
            _LOG.warning(f"the output has a '{name}' of its own, which replaces the input's column of that name")

    def of(self, rows: Sequence[Row]) -> list[str]:
        """A line for each row.

        Args:
            rows: The next ones.

        Raises:
            NotComputedError: If the model fails.
        """
        predicted = dict(self._predicted(rows, [number for number, row in enumerate(rows) if row.reason is None]))
        if self._images is not None:
            predicted = {
                number: found if isinstance(found, str) else self._images.kept(self._num_rows + number, found)
                for number, found in predicted.items()
            }
        lines = [self._line(row, predicted.get(number, row.reason)) for number, row in enumerate(rows)]
        self._num_rows += len(rows)
        return lines

    def report(self) -> None:
        """Warns of what could not be predicted on, and of what was cut off.

        Raises:
            UserError: If nothing could be predicted on.
        """
        if self._num_refused:
            _LOG.warning(
                f"{self._num_refused:,} of {self._num_rows:,} inputs cannot be predicted on; the output has `null` and "
                f"the `reason` in their place; the first: {self._first_refused}"
            )
        if self._num_cut:
            unit = "words" if "tokens" in self._file.inputs else "tokens"
            limit = getattr(self._model.inputs, "max_length", None)
            _LOG.warning(
                f"{self._num_cut:,} of {self._num_rows - self._num_refused:,} inputs are longer than the encoder's "
                f"{limit} tokens; {self._num_lost:,} {unit} are cut off; the first: {self._first_cut}"
            )
        if self._num_refused == self._num_rows:
            raise UserError(
                f"--input: of {self._num_rows:,} inputs none can be predicted on; the output says why; the first: "
                f"{self._first_reason}"
            )

    def _predicted(self, rows: Sequence[Row], numbers: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Predictions of the rows of some numbers, or why there is none; where they cannot be had at once, each half by
        itself.
        """
        if not numbers:
            return
        columns, root = self._file.inputs, str(Path(self._file.origin).parent)
        values = {name: [rows[number].values[name] for number in numbers] for _, name in pairs_of(columns)}
        try:
            raw = {name: raw_values(values, of) for name, of in columns.items()}
            for name in self._model.inputs.files & raw.keys():
                raw[name] = [located(root, value) for value in raw[name]]
            for name in self._model.inputs.array_files & raw.keys():
                raw[name] = [located_file(root, value) for value in raw[name]]
            encoded = self._model.encode(raw, self._tasks)
            predictions = self._model.predict_encoded(encoded, len(numbers), self._tasks)
        except NotComputedError:
            raise
        except UserError as error:
            if len(numbers) == 1:
                yield numbers[0], f"{at_fault(columns, error)}: {error}"
                return
            middle = len(numbers) // 2
            for half in (numbers[:middle], numbers[middle:]):
                yield from self._predicted(rows, half)
            return
        self._note_cut([rows[number] for number in numbers], encoded.examples)
        yield from zip(numbers, predictions, strict=True)

    def _note_cut(self, rows: Sequence[Row], examples: Sequence[Mapping[str, Any]]) -> None:
        for row, example in zip(rows, examples, strict=True):
            if lost := example.get("lost", 0):
                self._first_cut = self._first_cut or self._where(row)
                self._num_cut, self._num_lost = self._num_cut + 1, self._num_lost + lost

    def _line(self, row: Row, predicted: Mapping[str, Any] | str | None) -> str:
        if not isinstance(predicted, Mapping):
            if not self._num_refused:
                self._first_refused, self._first_reason = f"{self._where(row)}: {predicted}", str(predicted)
            self._num_refused += 1
            return to_json({**row.values, "predictions": None, "reason": predicted})
        if not (self._warned or is_finite(predicted)):
            self._warned = True
            _LOG.warning(
                f"the prediction of {self._where(row)} is not a finite number; `null` stands for it, here and below; "
                "has the training diverged?"
            )
        return to_json({**row.values, "predictions": predicted})

    def _where(self, row: Row) -> str:
        return f"{self._file.origin}, line {row.line}"
