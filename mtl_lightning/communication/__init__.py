"""What a training step sends between processes, and how long it takes: arithmetic alone, without torch.

The ways to balance tasks are functions of :mod:`mtl_lightning.communication.volumes` (what is sent) and of
:mod:`mtl_lightning.communication.step_time` (how long that takes).
"""

from mtl_lightning.communication.exchanges import Exchange
from mtl_lightning.communication.network import H100_NODES, Link, Network
from mtl_lightning.communication.step_time import Step, StepTime, Work, predict, refreshed
from mtl_lightning.communication.volumes import Size, Volume

__all__ = [
    "H100_NODES",
    "Exchange",
    "Link",
    "Network",
    "Size",
    "Step",
    "StepTime",
    "Volume",
    "Work",
    "predict",
    "refreshed",
]
