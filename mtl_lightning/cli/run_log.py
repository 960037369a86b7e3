"""The log of a run, ``metrics.csv``."""

import csv
import logging
import os
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from mtl_lightning.errors import UserError
from mtl_lightning.writing import replacing, writing

_LOG = logging.getLogger(__name__)


class RunLog(CSVLogger):
    """Lightning's log, in which no row is lost that can be written later.

    Rows that cannot be written, on a full disk say, are kept and written as soon as they can be.

    Attributes:
        problem: Why some rows are not written, null if all are.
    """

    problem: UserError | None = None

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
            writer = csv.DictWriter(file, fieldnames=fieldnames)
            writer.writeheader()
            writer.writerows(rows)
