"""Writes predictions, each beside its input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import IO, Any

import lightning.pytorch as pl
from lightning.pytorch import Callback

from mtl_lightning.cli.outputs import Output
from mtl_lightning.cli.prediction_lines import PredictionLines
from mtl_lightning.writing import CannotWriteError, writing


class PredictionWriter(Callback):
    """Writes predictions as they come, each beside its input, in the order of the inputs.

    Of several processes each predicts its share of a step's inputs, and the first one writes them all.

    A file has ``.partial`` behind its name until it is whole.

    Args:
        output: A file, or ``-``.
        shares_inputs: Whether the first process alone has read the inputs, and tells the others.
    """

    def __init__(self, output: str, shares_inputs: bool = False) -> None:
        self.output = output
        self.shares_inputs = shares_inputs
        self._written: Output | None = None
        self._file: IO[str] | None = None  # standard output does not travel to processes that are spawned
        self._lines: PredictionLines | None = None
        self._refused: list[int] = []
        self._num_written = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Shares the inputs."""
        if self.shares_inputs:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            data.predict_source = trainer.strategy.broadcast(data.predict_source)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the file."""
        self._lines = PredictionLines(trainer.datamodule, pl_module)  # type: ignore[attr-defined, arg-type]
        self._refused = sorted(self._lines.reasons, reverse=True)
        if trainer.is_global_zero:
            self._written = None if self.output == "-" else Output(self.output, "--output")
            self._file = sys.stdout if self._written is None else self._written.file

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Writes a line for each input of a step, and for those between them that were refused."""
        assert self._lines is not None, "on_predict_start comes first"
        rows = [row for part in batch.values() for row in part.examples]
        own = list(zip(rows, self._lines.predicted(rows, outputs), strict=True))
        parts = [trainer.strategy.broadcast(own, src=rank) for rank in range(trainer.world_size)]
        if trainer.is_global_zero:
            with self._explained():
                for row, line in sorted(chain(*parts)):
                    self._write_refused(before=row)
                    self._write(line)
                self._out.flush()

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes what was refused after the last prediction, and closes the file."""
        assert self._lines is not None, "on_predict_start comes first"
        if trainer.is_global_zero:
            with self._explained():
                if self._num_written + len(self._refused) == self._lines.num_inputs:  # no limit has cut them short
                    self._write_refused(before=self._lines.num_inputs)
                self._close()
                if self._written is not None:
                    self._written.finish()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keeps what is written so far, and says how much that is."""
        with suppress(OSError):
            self._close()
        if self._lines is not None and trainer.is_global_zero:
            where = "written" if self._written is None else f"in {self._written.partial}"
            exception.add_note(f"{self._num_written:,} of {self._lines.num_inputs:,} predictions are {where}")

    @property
    def _out(self) -> IO[str]:
        assert self._file is not None, "on_predict_start comes first"
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            if self._file is not sys.stdout:
                self._file.close()

    def _write_refused(self, before: int) -> None:
        assert self._lines is not None, "on_predict_start comes first"
        while self._refused and self._refused[-1] < before:
            self._write(self._lines.refused(self._refused.pop()))

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._num_written += 1

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Makes :class:`UserError` of what a file refuses; that nobody reads standard output is no mistake."""
        try:
            with writing("standard output" if self.output == "-" else self.output, "--output"):
                yield
        except CannotWriteError as error:
            if isinstance(error.__cause__, BrokenPipeError) and self._file is sys.stdout:
                raise error.__cause__ from None
            raise
