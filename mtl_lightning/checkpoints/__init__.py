"""Checkpoints that suffice alone: reading and writing, what is inside, and finding them."""

from mtl_lightning.checkpoints.background import BackgroundCheckpointIO
from mtl_lightning.checkpoints.best import BestCheckpoint
from mtl_lightning.checkpoints.contents import checkpoint_config, read_checkpoint, run_config
from mtl_lightning.checkpoints.finding import find_checkpoint
from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.checkpoints.warm_start import warm_start

__all__ = [
    "CHECKPOINT_KEY",
    "AtomicCheckpointIO",
    "BackgroundCheckpointIO",
    "BestCheckpoint",
    "checkpoint_config",
    "find_checkpoint",
    "read_checkpoint",
    "run_config",
    "warm_start",
]
