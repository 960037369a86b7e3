"""Writes predictions, each beside its input."""

from itertools import chain
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch import Callback

from mtl_lightning.cli.line_output import LineOutput
from mtl_lightning.cli.prediction_lines import PredictionLines


class PredictionWriter(Callback):
    """Writes predictions as they come, each beside its input, in the order of the inputs.

    Of several processes each predicts its share of a step's inputs, and the first one writes them all.

    A file has ``.partial`` behind its name until it is whole.

    Args:
        output: A file, or ``-``.
        shares_inputs: Whether the first process alone has read the inputs, and tells the others.
        images: Folder for predictions that are images, see :class:`.PredictionImages`; null: there is none.
    """

    def __init__(self, output: str, shares_inputs: bool = False, images: str | None = None) -> None:
        self.output = output
        self.images = images
        self.shares_inputs = shares_inputs
        self._written: LineOutput | None = None  # standard output does not travel to processes that are spawned
        self._lines: PredictionLines | None = None
        self._refused: list[int] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Shares the inputs."""
        if self.shares_inputs:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            data.predict_source = trainer.strategy.broadcast(data.predict_source)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the file."""
        self._lines = PredictionLines(trainer.datamodule, pl_module, self.images)  # type: ignore[attr-defined, arg-type]
        self._refused = sorted(self._lines.reasons, reverse=True)
        if trainer.is_global_zero:
            self._written = LineOutput(self.output)

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Writes a line for each input of a step, and for those between them that were refused."""
        assert self._lines is not None, "on_predict_start comes first"
        rows = [row for part in batch.values() for row in part.examples]
        own = list(zip(rows, self._lines.predicted(rows, outputs), strict=True))
        parts = [trainer.strategy.broadcast(own, src=rank) for rank in range(trainer.world_size)]
        if trainer.is_global_zero:
            self._out.write([each for row, line in sorted(chain(*parts)) for each in (*self._before(row), line)])

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes what was refused after the last prediction, and closes the file."""
        assert self._lines is not None, "on_predict_start comes first"
        if trainer.is_global_zero:
            if self._out.num_lines + len(self._refused) == self._lines.num_inputs:  # no limit has cut them short
                self._out.write(self._before(self._lines.num_inputs))
            self._out.finish()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keeps what is written so far, and says how much that is."""
        if self._lines is not None and self._written is not None:
            self._written.leave()
            found = f"{self._written.num_lines:,} of {self._lines.num_inputs:,}"
            exception.add_note(f"{found} predictions are {self._written.place}")

    @property
    def _out(self) -> LineOutput:
        assert self._written is not None, "on_predict_start comes first"
        return self._written

    def _before(self, row: int) -> list[str]:
        """Lines of those that were refused before an input, and have none yet."""
        assert self._lines is not None, "on_predict_start comes first"
        found = []
        while self._refused and self._refused[-1] < row:
            found.append(self._lines.refused(self._refused.pop()))
        return found
