"""What encoders of tables have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mtl_lightning.encoders.base import Assets
from mtl_lightning.encoders.staged import StagedEncoder
from mtl_lightning.encoders.tables.processor import TableProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import ColumnStatistics, CountedRows
from mtl_lightning.inputs.tables import TableInputs

_FILE = "vocabularies.json"


class TableEncoder(StagedEncoder):
    """Reads the rows of a table; it has all its parameters once it has seen the training data.

    Args:
        min_count: See :class:`.TableProcessor`.
        max_categories: See there.
        hash_buckets: See there.
        learnt: File of what was learnt of the training data, in a checkpoint; null: it is learnt when training starts.

    Attributes:
        columns: What reads the columns; null: the training data was not seen yet.
    """

    processor: TableProcessor
    pretrained = False

    def __init__(self, min_count: int, max_categories: int | None, hash_buckets: int, learnt: str | None) -> None:
        super().__init__()
        for name, value, least in (("min_count", min_count, 1), ("hash_buckets", hash_buckets, 0)):
            if value < least:
                raise UserError(f"`{name}` must be at least {least}, found {value}")
        if max_categories is not None and max_categories < 1:
            raise UserError(f"`max_categories` must be at least 1, found {max_categories}")
        statistics = None if learnt is None else ColumnStatistics.read(Path(learnt).read_text("utf-8"))
        self.processor = TableProcessor(min_count, max_categories, hash_buckets, statistics)
        self.columns: nn.Module | None = None

    @abstractmethod
    def columns_of(self, inputs: TableInputs) -> nn.Module:
        """What reads the columns.

        Args:
            inputs: What knows them.
        """

    def read(self, inputs: dict[str, Tensor]) -> Tensor:
        """What is made of the columns of a batch.

        Args:
            inputs: What the processor collated.
        """
        assert self.columns is not None, "complete() comes first"
        read: Tensor = self.columns(inputs)
        return read

    @property
    def is_complete(self) -> bool:
        return self.columns is not None

    def learn(self, rows: Iterable[CountedRows]) -> None:
        self.processor.learn(rows)

    def take_learnt(self, files: Mapping[str, str]) -> bool:
        if _FILE in files:
            self.processor.plain.take(ColumnStatistics.read(files[_FILE]))
        return _FILE in files

    def complete(self) -> None:
        self.columns = self.columns_of(self.processor.plain)

    def assets(self) -> Assets:
        text = self.processor.plain.statistics.written()
        return Assets(files={_FILE: text}, init_args={"learnt": f"{{folder}}/{_FILE}"})

    def reads_differently(self, files: Mapping[str, str]) -> str | None:
        if _FILE not in files or ColumnStatistics.read(files[_FILE]) == self.processor.plain.statistics:
            return None
        return "it learnt other categories, or another scale of numbers"

    def layers_by_depth(self) -> Any:
        columns = [] if self.columns is None else [list(self.columns.parameters())]
        return [*columns, *super().layers_by_depth()]
