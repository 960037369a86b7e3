"""What watches a run, one callback a file."""

from mtl_lightning.callbacks.conflicts import TaskConflicts
from mtl_lightning.callbacks.exposure import Exposure
from mtl_lightning.callbacks.interruption import Interrupted
from mtl_lightning.callbacks.last_checkpoint import LastCheckpoint
from mtl_lightning.callbacks.skipping import StopWhenNotFinite
from mtl_lightning.callbacks.throughput import Throughput

__all__ = ["Exposure", "Interrupted", "LastCheckpoint", "StopWhenNotFinite", "TaskConflicts", "Throughput"]
