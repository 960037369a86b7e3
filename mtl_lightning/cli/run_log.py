"""The log of a run, ``metrics.csv``."""

import csv
import io
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError
from mtl_lightning.writing import replacing, writing

_LOG = logging.getLogger(__name__)


class RunLog(CSVLogger):
    """Lightning's log, in which no row is lost that can be written later, and no step is there twice.

    Rows that cannot be written, on a full disk say, are kept and written as soon as they can be. A run that is resumed
    logs the steps after its checkpoint again; what older logs hold of them is dropped.

    Attributes:
        problem: Why some rows are not written, null if all are.
    """

    problem: UserError | None = None
    _logs_anew = True

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Logs a row; the first one has the first step that is done again."""
        if self._logs_anew and step is not None:
            self._logs_anew = False
            try:
                for path in Path(self.log_dir).glob("metrics.*.csv"):
                    rewind(path, step)
            except (UserError, OSError, ValueError, csv.Error) as error:
                _LOG.warning(f"{error}; older logs keep steps that are done again from {step} on")
        super().log_metrics(metrics, step)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            with writing(self.log_dir):
                self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment

    @rank_zero_only
    def save(self) -> None:
        before = self.problem
        try:
            super().save()
            self.problem = None
        except UserError as error:
            self.problem = error
            if before is None:
                _LOG.warning(f"{error}; training continues, and missing rows are written as soon as they can be")


def rewind(path: Path, step: int) -> None:
    """Drops the rows of a log from a step on; a last line that was cut off too.

    What was tested when training ended at that step stays: a run that trains on does not do that again.

    Raises:
        CannotWriteError: If it cannot be written; it then stays what it was.
    """
    text = path.read_text("utf-8")
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    rows = list(reader)
    kept = [row for row in rows if not _is_done_again(row, step)]
    if len(kept) < len(rows):
        with replacing(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            _write(file, list(reader.fieldnames or ()), kept)


def _is_done_again(row: dict[str, str], step: int) -> bool:
    found = row.get("step")
    if not isinstance(found, str) or not found.isdecimal() or int(found) < step:
        return False
    logged = [name for name, value in row.items() if value and name not in ("epoch", "step")]
    return int(found) > step or not all(name.startswith("test/") for name in logged)


def _write(file: IO[str], names: Sequence[str], rows: Iterable[Any]) -> None:
    writer = csv.DictWriter(file, fieldnames=names)
    writer.writeheader()
    writer.writerows(rows)


class _Writer(ExperimentWriter):
    def save(self) -> None:
        """Writes the rows; where that fails, the file stays what it was, and the rows are kept."""
        path, keys = Path(self.metrics_file_path), list(self.metrics_keys)
        size = path.stat().st_size if path.exists() else None
        try:
            with writing(path):
                super().save()
        except UserError:
            self.metrics_keys = keys
            if size is not None and path.exists():
                os.truncate(path, min(size, path.stat().st_size))
            raise

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Lightning empties the file before it writes; if that fails, all is lost."""
        path = Path(self.metrics_file_path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with replacing(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            _write(file, fieldnames, rows)
