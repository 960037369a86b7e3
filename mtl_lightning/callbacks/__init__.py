"""What watches a run, one callback a file."""

from mtl_lightning.callbacks.best_scores import BestScores
from mtl_lightning.callbacks.conflicts import TaskConflicts
from mtl_lightning.callbacks.expert_watch import ExpertWatch
from mtl_lightning.callbacks.exposure import Exposure
from mtl_lightning.callbacks.last_checkpoint import LastCheckpoint
from mtl_lightning.callbacks.multi_task_early_stopping import MultiTaskEarlyStopping
from mtl_lightning.callbacks.pixel_grids import PixelGrids
from mtl_lightning.callbacks.process_watch import ProcessWatch
from mtl_lightning.callbacks.progress_lines import ProgressLines
from mtl_lightning.callbacks.skipping import StopWhenNotFinite
from mtl_lightning.callbacks.sound_examples import SoundExamples
from mtl_lightning.callbacks.throughput import Throughput
from mtl_lightning.callbacks.training_time import TrainingTime
from mtl_lightning.callbacks.volumes import Volumes
from mtl_lightning.callbacks.written_texts import WrittenTexts
from mtl_lightning.stopping import Interrupted

__all__ = [
    "BestScores",
    "ExpertWatch",
    "Exposure",
    "Interrupted",
    "LastCheckpoint",
    "MultiTaskEarlyStopping",
    "PixelGrids",
    "ProcessWatch",
    "ProgressLines",
    "SoundExamples",
    "StopWhenNotFinite",
    "TaskConflicts",
    "Throughput",
    "TrainingTime",
    "Volumes",
    "WrittenTexts",
]
