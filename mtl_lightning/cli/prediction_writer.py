"""Writes predictions, each beside its input."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter


class PredictionWriter(BasePredictionWriter):
    """Writes predictions as they come, each beside its input.

    Args:
        output: A file, or ``-``.
        table: The raw inputs.
    """

    def __init__(self, output: str, table: Any) -> None:
        super().__init__("batch")
        self.output = output
        self.table = table
        self._file = sys.stdout

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the file."""
        if self.output != "-":
            Path(self.output).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.output, "w", encoding="utf-8")  # noqa: SIM115

    def write_on_batch_end(
        self, trainer: Any, pl_module: Any, prediction: Any, batch_indices: Any, batch: Any, *args: Any
    ) -> None:
        """Writes a line for each example of a batch."""
        rows = [row for part in batch.values() for row in part.examples]
        for row, predicted in zip(rows, prediction, strict=True):
            line = {**self.table[row], "predictions": predicted}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the file."""
        self._file.flush()
        if self._file is not sys.stdout:
            self._file.close()
